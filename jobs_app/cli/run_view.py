"""Runs as text: a table of them, and everything about one."""

from collections.abc import Sequence

from jobs_app.cli.client import Json
from jobs_app.cli.format import duration, exact, how_far, one_line, relative
from jobs_app.cli.outcome_text import compact, error_text, reason_text
from jobs_app.cli.output import (
    Columns,
    as_table,
    on_terminal,
    print_fields,
    print_items,
    print_note,
    print_text,
)
from jobs_app.cli.zones import show_in
from jobs_app.core import clock
from jobs_app.core.states import RunState, Wait
from jobs_app.core.text import counted, ordinal, shortened

#: Longest part of the last line of an output, characters.
MOST_OF_LINE = 200


def print_runs(answer: Json, *, of_one_job: bool = False) -> None:
    """Print a table of runs; that of one job's runs has no column for the job."""
    job: Columns = {} if of_one_job else {"JOB": lambda run: run.get("job") or run["task"]}
    columns: Columns = {
        "ID": lambda run: run["id"],
        **job,
        "STATE": _state_text,
        "WHEN": lambda run: instant_text(run.get("scheduled_for") or run["created_at"]),
        "TOOK": lambda run: duration(run.get("duration_seconds")),
        "TRIGGER": lambda run: run["trigger"],
    }
    as_table(columns, empty="No runs.", droppable={"TRIGGER"})(answer)


def _state_text(item: Json) -> str:
    """Return a run's state, what it waits for, and its number of fires if there are several."""
    fires = item.get("fires", 1)
    more = counted(fires, "fire") if fires > 1 else _wait_text(item)
    return f"{item['state']} ({more})" if more else str(item["state"])


def _wait_text(item: Json) -> str | None:
    """Return what a run waits for; None for one that has started, or whose state says it."""
    wait = item.get("waits_for")
    return None if wait in (None, Wait.RETRY) else Wait(wait).words


def instant_text(value: str | None, *, absent: str = "-") -> str:
    """Return an instant for a table: relative on a terminal, else in UTC to the second."""
    if value is None:
        return absent
    return relative(value, at=clock.now()) if on_terminal() else f"{value[:19]}Z"


def moment(value: str | None) -> str | None:
    """Return an instant of the API in local time, and relative to now."""
    return f"{exact(value)} ({relative(value, at=clock.now())})" if value else None


def print_run(item: Json, *, last_line: str | None = None) -> None:
    """Print all about a run that helps; *last_line* is that of its output, where it says more."""
    show_in(item.get("timezone"))
    is_cancelled = item["state"] == RunState.CANCELLED
    print_fields(
        {
            "Run": item["id"],
            "Job": item.get("job"),
            "State": _state_text(item | {"fires": 1}),
            "Reason": item.get("reason"),
            # A run that is asked to end may end otherwise.
            "Cancelled by" if is_cancelled else "Asked to end by": item.get("cancelled_by"),
            "Task": item["task"],
            "Revision": _revision_text(item),
            "Arguments": compact(item.get("kwargs")),
            "Fires": str(item["fires"]) if item.get("fires", 1) > 1 else None,
            "Trigger": _trigger_text(item),
            "Note": item.get("note"),
            "Scheduled for": moment(item.get("scheduled_for")),
            "Created": moment(item["created_at"]),
            "Started": moment(item.get("started_at")),
            "Finished": moment(item.get("finished_at")),
            "Late by": _if_known(item.get("delay_seconds")),
            "Took": _if_known(item.get("duration_seconds")),
            "Attempt": _attempt_text(item["attempt"], item["max_attempts"]),
            "Time limit": _time_limit_text(item["time_limit_seconds"]),
            "Queue": item.get("queue"),
            "Concurrency": concurrency_text(item),
            "Worker": item.get("worker"),
            "Retry of": item.get("retry_of"),
            "Progress": _progress_text(item.get("progress")),
            "Exit code": None if item.get("exit_code") is None else str(item["exit_code"]),
            "Result": compact(item.get("result")),
            "Error": error_text(item.get("error")),
            "Same error": _same_error_text(item.get("same_error")),
            "Last line": shortened(one_line(last_line or ""), MOST_OF_LINE) or None,
            "Log": _log_text(item["id"], item.get("log") or {}),
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
    if notifications := item.get("notifications"):
        print_text("")
        _print_notifications(notifications)


def _time_limit_text(seconds: int | None) -> str:
    return "no time limit" if seconds is None else duration(seconds)


def _attempt_text(attempt: int, most: int) -> str:
    if attempt <= most:
        return f"{attempt} of {most}"
    return f"{attempt}: the task asked for more than the {most} of its job"


def concurrency_text(item: Json) -> str | None:
    """Return how many runs may share the key of a job or run at once; None without one."""
    key, limit = item.get("concurrency_key"), item.get("concurrency_limit")
    if key is None:
        return None
    return f"{counted(limit or 1, 'run')} at once with the key {key}"


def _progress_text(progress: Json | None) -> str | None:
    if not progress:
        return None
    text = how_far(progress) or compact(progress.get("meta")) or "reported"
    return f"{text} ({relative(progress['at'], at=clock.now())})"


def _print_attempts(attempts: Sequence[Json]) -> None:
    columns: Columns = {
        "ATTEMPT": lambda attempt: str(attempt["attempt"]),
        "STATE": lambda attempt: attempt["state"],
        "STARTED": lambda attempt: exact(attempt.get("started_at")),
        "FINISHED": lambda attempt: exact(attempt.get("finished_at")),
        "WORKER": lambda attempt: attempt.get("worker") or "-",
        "ERROR": lambda attempt: (attempt.get("error") or {}).get("message") or "-",
    }
    print_items(attempts, columns, empty="No attempts.", droppable={"FINISHED"})


def _print_notifications(notifications: Sequence[Json]) -> None:
    columns: Columns = {
        "NOTIFIED OF": lambda message: message["event"],
        "CHANNEL": lambda message: message["channel"],
        "STATE": lambda message: message["state"],
        "WHEN": lambda message: exact(message.get("sent_at") or message["created_at"]),
        "ERROR": lambda message: message.get("error") or "-",
    }
    print_items(notifications, columns, empty="Nobody was notified.")


def _late_text(attempt: Json, late: Json) -> str:
    """Return a sentence about the result that a worker reported for an attempt given up before."""
    why = reason_text(late)
    outcome = f"{str(late['state']).replace('_', ' ')}{', ' if why else ''}{why}"
    start = f"Attempt {attempt['attempt']} was given up as {attempt['state']}"
    return f"{start}; its worker came back at {exact(late['at'])} with: {outcome}"


def _trigger_text(run: Json) -> str:
    trigger, actor = str(run["trigger"]), run.get("triggered_by")
    return f"{trigger} by {actor}" if actor else trigger


def _revision_text(run: Json) -> str | None:
    number = run.get("revision")
    return None if number is None else f"{number} of the job"


def _same_error_text(same: Json | None) -> str | None:
    return f"the {ordinal(same['count'])} time since {moment(same['since'])}" if same else None


def _if_known(seconds: float | None) -> str | None:
    return None if seconds is None else duration(seconds)


def _log_text(run_id: str, log: Json) -> str | None:
    if not log.get("bytes"):
        return None
    if log.get("deleted"):
        return f"{counted(log['bytes'], 'byte')}, no longer kept"
    cut = ", cut in the middle" if log.get("truncated") else ""
    return f"{counted(log['bytes'], 'byte')}{cut}: jobs-app run log {run_id}"
