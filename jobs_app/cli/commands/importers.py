"""`jobs-app import`: jobs from the schedules of other programs."""

import getpass
import re
import socket
import sys
from collections.abc import Iterator, Sequence
from typing import Any

import click

from jobs_app.cli.client import Client, Json, connect
from jobs_app.cli.completion import zone_names
from jobs_app.cli.failure import FAILED, Failure
from jobs_app.cli.import_report import (
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
from jobs_app.core.text import counted
from jobs_app.schedules import timezones

#: The fields of a job that treats runs as cron does.
LIKE_CRON: Json = {
    "time_limit_seconds": None,
    "soft_time_limit_seconds": None,
    "overlap_policy": "allow_all",
    "catchup_policy": "none",
}
PREFIX = re.compile(r"[a-z0-9][a-z0-9._-]{0,29}")

import_options = options(
    click.option("--timezone", shell_complete=zone_names, help="IANA zone of times without one."),
    click.option("--prefix", default="", help="Begin the names of new jobs with this."),
    click.option("--tag", "tags", multiple=True, help="Tag for the jobs; repeatable."),
    click.option("--paused", is_flag=True, help="New jobs wait until somebody resumes them."),
    dry_run_option,
    click.option("--yes", is_flag=True, help="Do it, without a question."),
    json_option,
)


@click.group()
def import_group() -> None:
    """Make jobs from the schedules of other programs."""


@import_group.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option(
    "--system/--user",
    "is_system",
    default=None,
    help="Whether each line names an account before its command, as in /etc/crontab.",
)
@click.option("--label", help="Name of the file here; by default the host and its path.")
@click.option("--like-cron", is_flag=True, help="No time limit, runs may overlap, and no catch-up.")
@import_options
def crontab(
    files: tuple[str, ...],
    is_system: bool | None,
    label: str | None,
    like_cron: bool,
    timezone: str | None,
    prefix: str,
    tags: tuple[str, ...],
    **flags: bool,
) -> None:
    """Make jobs of the lines of crontabs; - reads standard input.

    FILE is the crontab of a person, /etc/crontab, a file of /etc/cron.d, or that directory.
    The report names each line: the job it becomes, what is not as in cron, or why it is
    refused. Then the command asks. Importing the same file again changes only the jobs whose
    lines have changed.

    \b
    Examples:
      crontab -l | jobs-app import crontab - --dry-run
      crontab -l | jobs-app import crontab - --like-cron --yes
      jobs-app import crontab /etc/crontab /etc/cron.d --prefix web1- --tag web1
    """
    zone = timezone or _machine_zone()
    _check_options(files, label, prefix, zone)
    sources = _crontab_sources(files, is_system, label, zone=zone, prefix=prefix)
    general = [
        "No mail is sent for output, which is the log of a run. Notifications tell of failures:"
        " jobs-app channel add.",
        "PATH is longer than cron's /usr/bin:/bin where the crontab sets none.",
        f"Times are in {zone}, {_zone_reason(timezone)}, where no CRON_TZ says otherwise.",
    ]
    run_import(
        sources,
        {
            "timezone": zone,
            "is_typed": timezone is not None,
            "overrides": LIKE_CRON if like_cron else {},
            "tags": tags,
        },
        general,
        **flags,
    )


def _crontab_sources(
    names: tuple[str, ...], is_system: bool | None, label: str | None, *, zone: str, prefix: str
) -> list[Source]:
    # Late, for the start of other commands: the schedules need cronsim.
    from jobs_app.cli.crontab_files import STDIN, read_files
    from jobs_app.cli.crontab_sources import source_of

    files = read_files(names, is_system=is_system)
    if label is not None and len(files) > 1:
        raise click.UsageError("--label is for one file.")
    host = socket.gethostname()
    return [
        source_of(
            file,
            label or f"{host}:{getpass.getuser() if file.path == STDIN else file.path}",
            zone=zone,
            prefix=prefix,
        )
        for file in files
    ]


def _machine_zone() -> str:
    from jobs_app.cli.machine_zone import machine_zone

    zone = machine_zone()
    if zone is None:
        raise click.UsageError("This machine names no time zone: give the crontab's (--timezone).")
    return zone


def _zone_reason(typed: str | None) -> str:
    return "as --timezone says" if typed else "the zone of this machine (--timezone for another)"


def _check_options(files: Sequence[str], label: str | None, prefix: str, zone: str) -> None:
    if prefix and not PREFIX.fullmatch(prefix):
        raise click.UsageError(
            "--prefix is at most 30 lower-case letters, digits, '.', '_' or '-'."
        )
    if label is not None and (len(files) > 1 or not 0 < len(label) <= 150):
        raise click.UsageError("--label is for one file, and has at most 150 characters.")
    if not timezones.is_known(zone):
        suggestion = "".join(f" Did you mean {name}?" for name in timezones.suggestions(zone)[:1])
        raise click.UsageError(f"{zone!r} is no IANA time zone.{suggestion}")


def run_import(
    sources: Sequence[Source],
    defaults: dict[str, Any],
    general: Sequence[str],
    *,
    paused: bool,
    dry_run: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Report what an import of *sources* does, ask, and do it. Exits with 1 if a line is refused.

    *general* are sentences on what differs for all jobs, besides limits and policies.
    """
    from jobs_app.jobs.importers.drafts import Defaults

    client = connect()
    plan_sources(client, sources, Defaults(origin="", **defaults))
    todo = list(steps_to_do(sources))
    sentences = [*policy_differences(sources), *_slots(client), *general] if todo else []
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


def _slots(client: Client) -> Iterator[str]:
    """Yield how many runs the workers of the default queue start at once."""
    try:
        queues = client.page("/queues", limit=None)["items"]
    except Failure:
        return
    slots = sum(queue["slots"] for queue in queues if queue["name"] == "default")
    if slots:
        yield (
            f"The workers run {counted(slots, 'job')} at once, and others wait; cron starts all"
            " (JOBS_WORKER_CONCURRENCY)."
        )
