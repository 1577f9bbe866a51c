"""`jobs-app run`: what ran, how it ended, what it wrote, and once more."""

import sys
from collections.abc import Callable, Sequence
from datetime import datetime

import click

from jobs_app.cli.client import NO_SUCH, Client, Failure, Json, connect, job_path, run_path
from jobs_app.cli.completion import job_names
from jobs_app.cli.definition import kwargs_options
from jobs_app.cli.following import follow
from jobs_app.cli.outcomes import (
    compact,
    ending,
    error_text,
    refuse_idle_options,
    see_through,
    start_body,
    start_options,
    tell_start,
)
from jobs_app.cli.output import (
    json_option,
    limit_options,
    on_terminal,
    print_fields,
    print_json,
    print_list_end,
    print_note,
    print_table,
    print_text,
)
from jobs_app.cli.text import Instant, duration, exact, how_far, relative, rfc3339
from jobs_app.cli.waiting import outcome_code
from jobs_app.core import clock
from jobs_app.core.states import CancelMode, RunState, Trigger


@click.group()
def run() -> None:
    """Look at runs, cancel them, and do them once more."""


@run.command("list")
@click.option("--job", shell_complete=job_names, help="Only runs of this job.")
@click.option(
    "--state",
    "states",
    multiple=True,
    type=click.Choice([state.value for state in RunState]),
    help="Only in this state; repeatable.",
)
@click.option(
    "--trigger",
    type=click.Choice([trigger.value for trigger in Trigger]),
    help="Only started by this.",
)
@click.option("--from", "since", type=Instant(ago=True), help="Not before: an instant, or 2h.")
@click.option("--to", "until", type=Instant(ago=True), help="Before: an instant, or 2h.")
@limit_options
@json_option
def list_runs(
    since: datetime | None,
    until: datetime | None,
    states: tuple[str, ...],
    limit: int | None,
    as_json: bool,
    **filters: str | None,
) -> None:
    """List runs, the newest first."""
    narrowed = {
        "state": ",".join(states) or None,
        "from": None if since is None else rfc3339(since),
        "to": None if until is None else rfc3339(until),
    }
    client = connect()
    page = client.page("/runs", limit=limit, **filters, **narrowed)
    if as_json:
        print_json(page.as_json())
        return
    print_runs(page.items, at=clock.now())
    print_list_end(page)
    if not page.items and filters.get("job"):
        _say_if_unknown(client, str(filters["job"]))


def _say_if_unknown(client: Client, job: str) -> None:
    """Keep somebody who misspelt a name from believing that its job has never run."""
    try:
        client.get(job_path(job))
    except Failure as failure:
        if failure.exit_code == NO_SUCH:
            print_note(failure.message)


def print_runs(runs: Sequence[Json], *, at: datetime, of_one_job: bool = False) -> None:
    """Print a table of runs; those of one job need not name it each time."""
    columns: dict[str, Callable[[Json], str]] = {
        "ID": lambda item: item["id"],
        "JOB": lambda item: item.get("job") or item["task"],
        "STATE": _state_text,
        "WHEN": lambda item: when(item.get("scheduled_for") or item["created_at"], at=at),
        "TOOK": lambda item: duration(item.get("duration_seconds")),
        "TRIGGER": lambda item: item["trigger"],
    }
    if of_one_job:
        del columns["JOB"]
    rows = [[text_of(item) for text_of in columns.values()] for item in runs]
    print_table(list(columns), rows, empty="No runs.", droppable={"TRIGGER"})


def _state_text(item: Json) -> str:
    """Return a run's state, and for how many fires it stands where that is not one."""
    fires = item.get("fires", 1)
    return f"{item['state']} ({fires:,} fires)" if fires > 1 else str(item["state"])


def when(value: str | None, *, at: datetime) -> str:
    """Return an instant for a table: relative for a person, exact for a program."""
    return relative(value, at=at) if on_terminal() else value or "-"


@run.command()
@click.argument("run_id", metavar="ID")
@json_option
def show(run_id: str, as_json: bool) -> None:
    """Show one run: its times, its attempts, its result or error, and who was told of it."""
    answer = connect().get(run_path(run_id)).body
    if as_json:
        print_json(answer)
        return
    print_run(answer, at=clock.now())


def print_run(item: Json, *, at: datetime) -> None:
    """Print everything about a run that a person may want to know."""

    def moment(value: str | None) -> str | None:
        return f"{exact(value)} ({relative(value, at=at)})" if value else None

    log = item.get("log") or {}
    print_fields(
        {
            "Run": item["id"],
            "Job": item.get("job"),
            "State": item["state"],
            "Reason": item.get("reason"),
            "Cancelled by": item.get("cancelled_by"),
            "Task": item["task"],
            "Arguments": compact(item.get("kwargs")),
            "Fires": str(item["fires"]) if item.get("fires", 1) > 1 else None,
            "Trigger": by(item["trigger"], item.get("triggered_by")),
            "Note": item.get("note"),
            "Scheduled for": moment(item.get("scheduled_for")),
            "Created": moment(item["created_at"]),
            "Started": moment(item.get("started_at")),
            "Finished": moment(item.get("finished_at")),
            "Late by": _if_known(item.get("delay_seconds")),
            "Took": _if_known(item.get("duration_seconds")),
            "Attempt": _attempt_text(item["attempt"], item["max_attempts"]),
            "Queue": item.get("queue"),
            "Concurrency": concurrency_text(item),
            "Worker": item.get("worker"),
            "Retry of": item.get("retry_of"),
            "Progress": _progress_text(item.get("progress"), at=at),
            "Exit code": None if item.get("exit_code") is None else str(item["exit_code"]),
            "Result": compact(item.get("result")),
            "Error": error_text(item.get("error")),
            "Log": _log_text(item["id"], log),
        }
    )
    attempts = item.get("attempts") or []
    if len(attempts) > 1:
        print_text("")
        _print_attempts(attempts)
        print_note(f"The log of one of them: jobs-app run log {item['id']} --attempt 1")
    for attempt in attempts:
        if late := attempt.get("late_result"):
            print_text(_late_text(attempt, late))
    if told := item.get("notifications"):
        print_text("")
        _print_notifications(told)


def _attempt_text(attempt: int, most: int) -> str:
    if attempt <= most:
        return f"{attempt} of {most}"
    return f"{attempt}: the task asked for more than the {most} of its job"


def concurrency_text(item: Json) -> str | None:
    """Return how many runs may share the key of a job or run at once; None without one."""
    key, limit = item.get("concurrency_key"), item.get("concurrency_limit")
    if key is None:
        return None
    return f"{'1 run' if limit == 1 else f'{limit} runs'} at once with the key {key}"


def _progress_text(progress: Json | None, *, at: datetime) -> str | None:
    if not progress:
        return None
    told = how_far(progress) or compact(progress.get("meta")) or "reported"
    return f"{told} ({relative(progress['at'], at=at)})"


def _print_attempts(attempts: Sequence[Json]) -> None:
    rows = [
        [
            str(attempt["attempt"]),
            attempt["state"],
            exact(attempt.get("started_at")),
            exact(attempt.get("finished_at")),
            attempt.get("worker") or "-",
            (attempt.get("error") or {}).get("message") or "-",
        ]
        for attempt in attempts
    ]
    headings = ["ATTEMPT", "STATE", "STARTED", "FINISHED", "WORKER", "ERROR"]
    print_table(headings, rows, empty="No attempts.", droppable={"FINISHED"})


def _print_notifications(told: Sequence[Json]) -> None:
    rows = [
        [
            each["event"],
            each["channel"],
            each["state"],
            exact(each.get("sent_at") or each["created_at"]),
            each.get("error") or "-",
        ]
        for each in told
    ]
    print_table(["TOLD OF", "CHANNEL", "STATE", "WHEN", "ERROR"], rows, empty="Nobody was told.")


def _late_text(attempt: Json, late: Json) -> str:
    """Say what a worker brought of an attempt when others had given it up."""
    why = (error_text(late.get("error")) or "").partition("\n")[0]
    what = f"{str(late['state']).replace('_', ' ')}{', ' if why else ''}{why}"
    given_up = f"Attempt {attempt['attempt']} was given up as {attempt['state']}"
    return f"{given_up}; its worker came back at {exact(late['at'])} with: {what}"


def by(what: str, whom: str | None) -> str:
    """Return what happened, and by whom where that is known."""
    return f"{what} by {whom}" if whom else what


def _if_known(seconds: float | None) -> str | None:
    return None if seconds is None else duration(seconds)


def _log_text(run_id: str, log: Json) -> str | None:
    if not log.get("bytes"):
        return None
    if log.get("deleted"):
        return f"{log['bytes']:,} bytes, no longer kept"
    cut = ", cut in the middle" if log.get("truncated") else ""
    return f"{log['bytes']:,} bytes{cut}: jobs-app run log {run_id}"


@run.command()
@click.argument("run_id", metavar="ID")
@click.option("--attempt", type=click.IntRange(min=1), help="Of this attempt; else the newest.")
@click.option("--tail", metavar="BYTES", type=click.IntRange(min=0), help="Only the end of it.")
@click.option(
    "--follow",
    "-f",
    "is_followed",
    is_flag=True,
    help="Print it as it is written, all attempts; exit with the run's own outcome.",
)
@click.option("--timestamps", is_flag=True, help="With --follow: when each line was written.")
def log(
    run_id: str, attempt: int | None, tail: int | None, is_followed: bool, timestamps: bool
) -> None:
    """Print what a run wrote, as it wrote it; on a terminal without control characters."""
    if is_followed and (attempt is not None or tail is not None):
        raise click.UsageError("--follow shows all of it: leave out --attempt and --tail.")
    if timestamps and not is_followed:
        raise click.UsageError("--timestamps needs --follow.")
    client = connect()
    if is_followed:
        started = client.get(run_path(run_id)).body
        ended = follow(client, started, timestamps=timestamps)
        print_note(ending(ended))
        sys.exit(outcome_code(ended))
    text = client.text(f"{run_path(run_id)}/log", attempt=attempt, tail=tail)
    if not text and (client.get(run_path(run_id)).body.get("log") or {}).get("deleted"):
        print_note("Its log is no longer kept: see keep_log_days.")
    if on_terminal():
        print_text(text.removesuffix("\n"))
    else:
        # As bytes: a log that a program reads keeps every byte, line ends included.
        click.echo(text.encode("utf-8", "surrogatepass"), nl=False)


@run.command()
@click.argument("run_id", metavar="ID")
@click.option(
    "--mode",
    type=click.Choice([mode.value for mode in CancelMode]),
    help="TERM and the job's grace (the default), or KILL at once.",
)
@click.option("--reason", help="Why; shown with the run.")
@json_option
def cancel(run_id: str, as_json: bool, **given: str | None) -> None:
    """Cancel a run that has not ended."""
    body = {name: value for name, value in given.items() if value is not None}
    answer = connect().send("POST", f"{run_path(run_id)}/cancel", body=body).body
    if as_json:
        print_json(answer)
    elif answer["state"] == RunState.CANCELLED:
        print_text(f"Run {answer['id']} is cancelled.")
    else:
        print_text(f"Run {answer['id']} is {answer['state']}; its worker is told to end it.")
        print_note(f"See how it ends with: jobs-app run show {answer['id']}")


@run.command()
@click.argument("run_id", metavar="ID")
@kwargs_options
@start_options
@json_option
def retry(
    run_id: str,
    note: str | None,
    overlap: str | None,
    wait: bool,
    timeout: float | None,
    is_followed: bool,
    as_json: bool,
    **_: object,
) -> None:
    """Do once more what a run did that has ended, as a new run.

    With the same arguments, but for --arg; with the queue, limits and policies of its
    job as it is now. One that was skipped or missed is run now.
    """
    refuse_idle_options(wait=wait, timeout=timeout, is_followed=is_followed, as_json=as_json)
    client = connect()
    body = start_body(note=note, overlap=overlap)
    started = client.send("POST", f"{run_path(run_id)}/retry", body=body).body
    if not wait:
        tell_start(started, f"repeats {run_id} and is {started['state']}", as_json=as_json)
        return
    see_through(client, started, timeout=timeout, is_followed=is_followed, as_json=as_json)
