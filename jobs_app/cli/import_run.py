"""The course of every `jobs-app import`: its options, the report, the question, and the work."""

import re
import sys
from collections.abc import Iterator, Sequence
from typing import Any

import click

from jobs_app.cli.client import Client, connect
from jobs_app.cli.completion import zone_names
from jobs_app.cli.failure import FAILED, Failure
from jobs_app.cli.import_report import (
    note_limits,
    policy_differences,
    print_report,
    report_as_json,
    summary,
)
from jobs_app.cli.import_sources import Source, carry_out_all, plan_sources, steps_to_do
from jobs_app.cli.output import (
    confirm,
    dry_run_option,
    json_option,
    options,
    print_json,
    print_note,
    print_text,
)
from jobs_app.cli.standard_streams import go_on_without_output
from jobs_app.core.text import counted
from jobs_app.schedules import timezones

PREFIX = re.compile(r"[a-z0-9][a-z0-9._-]{0,29}")
MOST_LABEL = 150

HOW_TO_COMPARE = (
    "New jobs only watch. What they observe: jobs-app run list --state observed. When it is as it"
    " should be, stop the old scheduler, and: jobs-app job activate --all-observing"
)

import_options = options(
    click.option("--timezone", shell_complete=zone_names, help="IANA zone of times without one."),
    click.option("--prefix", default="", help="Begin the names of new jobs with this."),
    click.option("--tag", "tags", multiple=True, help="Tag for the jobs; repeatable."),
    click.option("--paused", is_flag=True, help="New jobs wait until somebody resumes them."),
    click.option(
        "--observe",
        is_flag=True,
        help="New jobs only watch: fires are recorded, and nothing runs, until job activate.",
    ),
    dry_run_option,
    click.option("--yes", is_flag=True, help="Do it, without a question."),
    json_option,
)


def check_options(*, prefix: str, zone: str, label: str | None, sources: int = 1) -> None:
    """Raise UsageError for a value of `import_options` or of --label that cannot be used."""
    if prefix and not PREFIX.fullmatch(prefix):
        raise click.UsageError(
            "--prefix is at most 30 lower-case letters, digits, '.', '_' or '-'."
        )
    if label is not None and (sources > 1 or not 0 < len(label) <= MOST_LABEL):
        raise click.UsageError("--label is for one source, and has at most 150 characters.")
    if not timezones.is_known(zone):
        suggestion = "".join(f" Did you mean {name}?" for name in timezones.suggestions(zone)[:1])
        raise click.UsageError(f"{zone!r} is no IANA time zone.{suggestion}")


def run_import(
    sources: Sequence[Source],
    defaults: dict[str, Any],
    general: Sequence[str],
    *,
    paused: bool,
    observe: bool,
    dry_run: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Report what an import of *sources* does, ask, and do it. Exits with 1 if a line is refused.

    *general* are sentences on what differs for all jobs, besides limits and policies.
    """
    from jobs_app.jobs.importers.drafts import Defaults

    client = connect()
    if not dry_run:
        go_on_without_output()
    plan_sources(client, sources, Defaults(origin="", observes=observe, **defaults))
    note_limits(sources)
    todo = list(steps_to_do(sources))
    sentences: list[str] = []
    if todo:
        manner = sources[0].manner
        slots = _slots(client, " cron starts all" if manner.starts_all else "")
        sentences = [*policy_differences(sources, manner), *slots, *general]
    is_done = yes and not dry_run
    if is_done:
        carry_out_all(client, sources, is_paused=paused)
    if as_json and (is_done or dry_run or not todo):
        print_json(report_as_json(sources, sentences, is_done=is_done))
    elif not as_json:
        print_report(sources, sentences, is_done=is_done)
    if todo and not is_done and not dry_run:
        _ask_and_do(client, sources, todo, paused=paused)
        if as_json:
            print_json(report_as_json(sources, sentences, is_done=True))
        else:
            print_text(summary(sources, is_done=True))
    elif dry_run:
        print_note("Nothing was changed.")
    if observe and todo and not dry_run:
        print_note(HOW_TO_COMPARE)
    if any(item.problem for source in sources for item in source.items):
        sys.exit(FAILED)


def _ask_and_do(
    client: Client, sources: Sequence[Source], todo: Sequence[object], *, paused: bool
) -> None:
    confirm(
        f"Do this for {counted(len(todo), 'job')}?",
        yes=False,
        verb="do this",
        refusal="Nothing was changed.",
    )
    carry_out_all(client, sources, is_paused=paused)


def _slots(client: Client, elsewhere: str) -> Iterator[str]:
    """Yield how many runs the workers of the default queue start at once; *elsewhere* ends it."""
    try:
        queues = client.page("/queues", limit=None)["items"]
    except Failure:
        return
    slots = sum(queue["slots"] for queue in queues if queue["name"] == "default")
    if slots:
        yield (
            f"The workers run {counted(slots, 'job')} at once, and others wait"
            f"{';' if elsewhere else ''}{elsewhere} (JOBS_WORKER_CONCURRENCY)."
        )
