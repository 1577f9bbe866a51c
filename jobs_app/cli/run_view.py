"""How runs are shown on a terminal."""

from collections.abc import Callable, Sequence
from datetime import datetime

from jobs_app.cli.client import Json
from jobs_app.cli.format import duration, exact, how_far, relative
from jobs_app.cli.output import on_terminal, print_fields, print_note, print_table, print_text
from jobs_app.cli.run_outcome import compact, error_text


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
