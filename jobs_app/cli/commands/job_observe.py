"""`jobs-app job observe` and `activate`: jobs that only watch, and the switch to running them."""

from collections.abc import Sequence

import click

from jobs_app.cli.client import Client, Json, connect
from jobs_app.cli.job_view import outlook, print_short_effect
from jobs_app.cli.output import (
    dry_run_option,
    json_option,
    print_note,
    print_text,
    print_warnings,
)
from jobs_app.cli.paths import job_path
from jobs_app.cli.run_view import moment
from jobs_app.cli.several_jobs import Unchanged, do_each, is_single, jobs_options, selected_jobs
from jobs_app.cli.zones import show_in, zone_of_job
from jobs_app.core.states import Standing
from jobs_app.core.text import counted


@click.command()
@jobs_options
@dry_run_option
@json_option
def observe(names: Sequence[str], tag: str | None, dry_run: bool, as_json: bool) -> None:
    """Let jobs only watch: their fires are recorded as observed, and nothing runs.

    So another scheduler can be compared with this one, before it takes over:
    jobs-app run list --state observed. Runs that were started go on.
    """
    client = connect()
    jobs = selected_jobs(client, names, tag)
    _set_each(client, jobs, True, is_single=is_single(names), dry_run=dry_run, as_json=as_json)


@click.command()
@jobs_options
@click.option("--all-observing", is_flag=True, help="All jobs that only watch.")
@dry_run_option
@json_option
def activate(
    names: Sequence[str], tag: str | None, all_observing: bool, dry_run: bool, as_json: bool
) -> None:
    """Let jobs run that have only watched, from their next fire on; none starts at once.

    Says what each has observed in the last week, and when it fires next.

    \b
    Examples:
      jobs-app job activate backup --dry-run
      jobs-app job activate --tag web1
      jobs-app job activate --all-observing
    """
    client = connect()
    if all_observing:
        if names or tag is not None:
            raise click.UsageError("--all-observing takes no names and no --tag.")
        page = client.page("/jobs", limit=None, state=str(Standing.OBSERVING))
        jobs = [str(job["name"]) for job in page["items"]]
        if not jobs:
            print_note("No job only watches: nothing was changed.")
            return
    else:
        jobs = selected_jobs(client, names, tag)
    _set_each(client, jobs, False, is_single=is_single(names), dry_run=dry_run, as_json=as_json)


def _set_each(
    client: Client,
    jobs: Sequence[str],
    observes: bool,
    *,
    is_single: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    def set_one(name: str) -> Json:
        before = client.get(job_path(name))
        stats = client.read(f"{job_path(name)}/stats", last=1)
        params = {"dry_run": dry_run or None}
        answer: Json = client.send(
            "PATCH",
            job_path(name),
            body={"observe": observes},
            params=params,
            if_match=before.etag,
        ).body
        if not as_json:
            _report(name, before.body, answer, stats.get("observation"), dry_run=dry_run)
        if bool(before.body.get("observe")) is observes:
            does = "only watches already" if observes else "does not only watch"
            print_note(f"{name} {does}: nothing was changed.")
            return Unchanged(answer)
        return answer

    verb = "Observes" if observes else "Activated"
    if dry_run:
        verb = f"Would {'observe' if observes else 'activate'}"
    batch = do_each(jobs, set_one, is_single=is_single)
    if dry_run:
        print_note("Nothing was changed.")
    batch.finish(as_json=as_json, summary=batch.summary(verb))


def _report(
    name: str, before: Json, answer: Json, observation: Json | None, *, dry_run: bool
) -> None:
    """Print a switch, or what it would do; nothing of a job that stays as it is."""
    job = answer["job"] if dry_run else answer
    if bool(before.get("observe")) is job["observe"]:
        return
    if dry_run:
        print_short_effect("Would observe" if job["observe"] else "Would activate", answer)
    else:
        verb = "Observes" if job["observe"] else "Activated"
        print_text(f"{verb} {name}: {outlook(job)}")
        print_warnings(job.get("warnings") or ())
    if observation is not None:
        show_in(zone_of_job(before))
        print_text(observation_text(observation))


def observation_text(observation: Json) -> str:
    """Return what a job has observed in the last week, as a sentence."""
    expected, missed = counted(observation["expected"], "fire"), observation["missed"]
    return (
        f"Since {moment(observation['begin'])}: {expected} expected,"
        f" {observation['observed']:,} observed"
        + (f", {missed:,} missed: no scheduler was there in time." if missed else ".")
    )
