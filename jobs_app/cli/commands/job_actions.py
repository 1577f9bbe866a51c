"""`jobs-app job pause`, `resume`, `run` and `delete`: what is done to one job or to several."""

from collections.abc import Sequence
from typing import Any

import click

from jobs_app.cli.client import Answer, Json, connect
from jobs_app.cli.format import Instant
from jobs_app.cli.job_options import kwargs_options
from jobs_app.cli.job_view import outlook, print_effect, print_short_effect
from jobs_app.cli.output import (
    confirm_deletion,
    dry_run_option,
    json_option,
    print_note,
    print_text,
    print_warnings,
)
from jobs_app.cli.param_type import Choice
from jobs_app.cli.paths import job_path
from jobs_app.cli.run_outcome import start_options, start_run, start_runs
from jobs_app.cli.several_jobs import (
    Unchanged,
    do_each,
    each_job,
    is_single,
    jobs_options,
    selected_jobs,
    several,
)
from jobs_app.cli.zones import api_time, zone_of_job
from jobs_app.core.states import JobState
from jobs_app.schedules.typed_time import TypedTime


@click.command()
@jobs_options
@click.option("--reason", help="Why, for those who find it paused.")
@click.option(
    "--until",
    type=Instant(),
    help="Resume it by itself then: 06:00, 2h (from now), a date or an instant.",
)
@json_option
def pause(
    names: Sequence[str],
    tag: str | None,
    reason: str | None,
    until: TypedTime | None,
    as_json: bool,
) -> None:
    """Stop following the schedule of jobs; runs that were started go on."""
    client = connect()

    def pause_one(name: str) -> Json:
        before = client.read(job_path(name))
        body = {} if reason is None else {"reason": reason}
        if until is not None:
            body["until"] = api_time(until, zone_of_job(before), is_ahead=True)
        answer = client.send("POST", f"{job_path(name)}/pause", body=body)
        is_changed = _report(before, answer, "Paused", as_json=as_json)
        kept = (answer.body.get("paused") or {}).get("reason")
        if reason is not None and reason != kept:
            print_note(f"The reason of {name} stays {kept or 'empty'!r}.")
        return answer.body if is_changed else Unchanged(answer.body)

    each_job(client, names, tag, pause_one, as_json=as_json, verb="Paused")


@click.command()
@jobs_options
@click.option(
    "--on-missed",
    type=Choice(["skip", "last", "all"]),
    help="Which of the fires that passed meanwhile to run; by default none (skip).",
)
@dry_run_option
@json_option
def resume(
    names: Sequence[str], tag: str | None, on_missed: str | None, dry_run: bool, as_json: bool
) -> None:
    """Follow the schedule of paused jobs again."""
    body = {} if on_missed is None else {"on_missed": on_missed}
    client = connect()

    def resume_one(name: str) -> Json:
        before = client.read(job_path(name))
        params = {"dry_run": dry_run or None}
        answer = client.send("POST", f"{job_path(name)}/resume", body=body, params=params)
        is_changed = before["state"] == JobState.PAUSED
        if not dry_run:
            is_changed = _report(before, answer, "Resumed", as_json=as_json)
        elif not as_json and is_single(names):
            print_effect(answer.body)
        elif not as_json and is_changed:
            print_short_effect("Would resume", answer.body)
        if dry_run and not is_changed:
            print_note(f"{name} is not paused: a resume changes nothing.")
        return answer.body if is_changed else Unchanged(answer.body)

    verb = "Would resume" if dry_run else "Resumed"
    each_job(client, names, tag, resume_one, as_json=as_json, verb=verb)


def _report(before: Json, answer: Answer, verb: str, *, as_json: bool) -> bool:
    """Print a pause or a resume, or that it changed nothing; return whether it did.

    The versions tell, not the state before: somebody else may have changed it meanwhile.
    """
    name, is_changed = before["name"], bool(before["version"] != answer.body["version"])
    if not as_json:
        print_text(f"{f'{verb} {name}' if is_changed else name}: {outlook(answer.body)}")
    if not is_changed:
        was = "was paused already" if before["state"] == JobState.PAUSED else "was not paused"
        print_note(f"{name} {was}: nothing was changed.")
    elif not as_json:
        print_warnings(answer.body.get("warnings") or ())
    return is_changed


@click.command("run")
@jobs_options
@kwargs_options
@start_options
@json_option
def run_now(names: Sequence[str], tag: str | None, **options: Any) -> None:
    """Run jobs now, beside their schedule.

    With --wait, several jobs run at the same time, and the exit code is the highest.
    """
    if is_single(names) and tag is None:
        start_run(f"{job_path(names[0])}/runs", f"of {names[0]} is", **options)
    else:
        start_runs(lambda: selected_jobs(connect(), names, tag), **options)


@click.command()
@jobs_options
@click.option("--purge", is_flag=True, help="Delete the history of runs as well.")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
def delete(names: Sequence[str], tag: str | None, purge: bool, yes: bool) -> None:
    """Delete jobs; their history stays unless --purge is given."""
    client = connect()
    jobs = selected_jobs(client, names, tag)
    etags: dict[str, str | None] = {}

    def look(name: str) -> Json:
        etags[name] = client.get(job_path(name)).etag
        return {}

    def delete_one(name: str) -> Json:
        params = {"purge": purge or None}
        client.send("DELETE", job_path(name), params=params, if_match=etags[name])
        what = "its runs" if is_single(jobs) else f"the runs of {name}"
        print_text(f"Deleted {name}" + (f" and {what}." if purge else f"; {what} stay on record."))
        return {}

    # All are looked at first: the question is asked once, about those that there are.
    looked = do_each(jobs, look, is_single=is_single(names))
    if etags:
        history = "all its runs" if len(etags) == 1 else "all their runs"
        what = several(list(etags)) + (f" and {history}" if purge else "")
        confirm_deletion(f"Delete {what}?", yes=yes)
    batch = do_each(list(etags), delete_one, is_single=is_single(names))
    batch.answers += [answer for answer in looked.answers if "failure" in answer]
    batch.exit_code = max(batch.exit_code, looked.exit_code)
    batch.finish(as_json=False, summary=batch.summary("Deleted"))
