"""The jobs in a store of APScheduler 3 (SQLAlchemyJobStore), as periodic entries. Pure, no IO."""

import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from jobs_app.jobs.importers.apscheduler_pickles import Stored, read_state
from jobs_app.jobs.importers.apscheduler_triggers import timing_of_trigger
from jobs_app.jobs.importers.drafts import Refused
from jobs_app.jobs.importers.periodic_entry import PeriodicEntry

TABLE = "apscheduler_jobs"
#: An id that APScheduler has drawn.
_DRAWN = re.compile(r"[0-9a-f]{32}")
#: The grace that APScheduler gives if nobody says another; seconds.
DEFAULT_GRACE = 1

ADVICE = (
    "Make the function a task: @shared_task above it, and its module in JOBS_IMPORTS of the server."
)


def entries_of(rows: Iterable[Mapping[str, Any]], *, at: datetime) -> list[PeriodicEntry]:
    """Return the jobs in the *rows* of the store's table. *at* is now."""
    return [_entry(str(row["id"]), row["job_state"], at) for row in rows]


def _entry(job_id: str, data: Any, at: datetime) -> PeriodicEntry:
    try:
        if not isinstance(data, bytes | memoryview):
            raise Refused("Its stored state is not that of a job.")
        state = read_state(bytes(data))
    except Refused as refusal:
        made = PeriodicEntry(job_id, job_id)
        made.refuse(refusal)
        return made
    return entry_of(job_id, state, at=at)


def entry_of(job_id: str, state: Mapping[str, Any], *, at: datetime) -> PeriodicEntry:
    """Return the job with the *state* that was stored; it says itself if it cannot be one here."""
    name, trigger = str(state.get("name") or ""), state.get("trigger")
    kind = trigger.kind if isinstance(trigger, Stored) else "no trigger"
    # A drawn id says nothing; the name is that of the function, unless somebody gave one.
    key = name if name and _DRAWN.fullmatch(job_id) else job_id
    made = PeriodicEntry(key, f"{job_id}: {state.get('func')}, {kind}", task_advice=ADVICE)
    try:
        made.task = task_of(state.get("func"))
        _fill_in(made, state, at)
    except Refused as refusal:
        made.refuse(refusal)
    return made


def task_of(reference: Any) -> str:
    """Return the name that Celery gives to the function of a *reference*. Raises Refused."""
    if not isinstance(reference, str) or reference.count(":") != 1:
        raise Refused("It names no function.")
    return reference.replace(":", ".")


def _fill_in(made: PeriodicEntry, state: Mapping[str, Any], at: datetime) -> None:
    next_run = state.get("next_run_time")
    next_run = next_run if isinstance(next_run, datetime) else None
    made.timing = timing_of_trigger(state.get("trigger"), next_run, at=at)
    made.differences += made.timing.differences
    once = made.timing.schedule.get("at")
    if once is not None and datetime.fromisoformat(once) <= at:
        raise Refused(f"Its one time, {once}, has passed.", "Start it by hand, if it has not run.")
    made.args, made.kwargs = state.get("args") or (), state.get("kwargs") or {}
    _follow_overlap(made, state.get("max_instances"))
    _follow_lateness(made, state.get("misfire_grace_time"), bool(state.get("coalesce", True)))
    executor = state.get("executor", "default")
    if executor != "default":
        made.differences.append(f"Its executor {executor!r} is not followed: queues are, here.")
    if next_run is None:
        made.disable()


def _follow_overlap(made: PeriodicEntry, instances: Any) -> None:
    if not isinstance(instances, int) or instances <= 1:
        # APScheduler skips a fire while the last run goes on.
        made.fields["overlap_policy"] = "skip"
        return
    made.fields["overlap_policy"] = "allow_all"
    made.differences.append(
        f"max_instances is {instances}: here any number of its runs overlap. A concurrency_key"
        f" with concurrency_limit {instances} makes more wait."
    )


def _follow_lateness(made: PeriodicEntry, grace: Any, coalesces: bool) -> None:
    """Follow how late a fire may start: `misfire_grace_time`, None for however late."""
    if not isinstance(grace, int):
        made.fields["catchup_policy"] = "last" if coalesces else "all"
        made.differences.append(
            "It has no misfire_grace_time: here fires of the last 24 h are caught up with"
            " (catchup_window_seconds)."
        )
        return
    made.fields["catchup_policy"] = "none"
    # The report says what becomes of the default.
    if grace != DEFAULT_GRACE:
        made.fields["starting_deadline_seconds"] = grace
