"""The periodic tasks in the tables of django-celery-beat. Pure, no IO.

The columns are those of its version 2.9; older versions lack some of them.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from celery.schedules import ParseException, crontab

from jobs_app.core.text import rfc3339, shortened
from jobs_app.jobs.importers.beat_modules import LEFT_OUT, OWN_TASKS, check_task
from jobs_app.jobs.importers.beat_schedules import (
    SOLAR,
    SOLAR_ADVICE,
    cron_of_crontab,
    interval_timing,
    zone_name,
)
from jobs_app.jobs.importers.drafts import Refused
from jobs_app.jobs.importers.periodic_entry import PeriodicEntry, Timing, follow_options
from jobs_app.jobs.importers.redbeat_store import with_last_start

Row = Mapping[str, Any]

PREFIX = "django_celery_beat_"
TASKS = f"{PREFIX}periodictask"
#: The table of each kind of schedule, by the column of a task that names its row.
SCHEDULES = {
    f"{kind}_id": f"{PREFIX}{kind}schedule" for kind in ("crontab", "interval", "clocked", "solar")
}
_FIELDS = ("minute", "hour", "day_of_week", "day_of_month", "month_of_year")
_PERIODS = ("days", "hours", "minutes", "seconds", "microseconds")
_OPTIONS = ("queue", "exchange", "routing_key", "priority")

FIRST_START = (
    "beat also starts it once at its start_time; here it starts first at the first of its times"
    " after that."
)


def entries_of(tables: Mapping[str, Sequence[Row]], *, at: datetime) -> list[PeriodicEntry]:
    """Return the periodic tasks in *tables*, the rows by the name of their table. *at* is now."""
    schedules = {
        column: {row["id"]: row for row in tables.get(table, ())}
        for column, table in SCHEDULES.items()
    }
    return [_entry(row, schedules, at) for row in tables[TASKS]]


def _entry(row: Row, schedules: Mapping[str, Mapping[Any, Row]], at: datetime) -> PeriodicEntry:
    name, task = str(row["name"]), str(row["task"] or "")
    made = PeriodicEntry(name, f"{name}: {task or 'no task'}", task)
    if task in OWN_TASKS:
        made.left_out = LEFT_OUT
        return made
    try:
        kind, schedule = _schedule_row(row, schedules)
        made.text += f", {_schedule_text(kind, schedule)}"
        check_task(task)
        if not _is_over(row, kind, schedule, made, at):
            _fill_in(made, row, _timing(kind, schedule, at), at)
    except Refused as refusal:
        made.refuse(refusal)
    return made


def _schedule_row(row: Row, schedules: Mapping[str, Mapping[Any, Row]]) -> tuple[str, Row]:
    """Return the kind of the schedule of a task, and its row. Raises Refused."""
    # As beat looks for it: the interval first.
    for column in ("interval_id", "crontab_id", "solar_id", "clocked_id"):
        if (key := row.get(column)) is not None:
            if (found := schedules[column].get(key)) is None:
                raise Refused("Its schedule is not in the database.")
            return column.removesuffix("_id"), found
    raise Refused("It has no schedule.")


def _schedule_text(kind: str, schedule: Row) -> str:
    values = (f"{name}={value}" for name, value in schedule.items() if name != "id")
    return shortened(f"{kind} {' '.join(values)}", 120)


def _is_over(row: Row, kind: str, schedule: Row, made: PeriodicEntry, at: datetime) -> bool:
    """Tell whether a task has had its last start; note it in *made* then. Raises Refused."""
    expires = instant(row.get("expires"))
    clocked = instant(schedule["clocked_time"]) if kind == "clocked" else None
    has_run = bool(row.get("one_off")) and bool(row.get("total_run_count"))
    is_past = clocked is not None and clocked <= at
    if (has_run or is_past) and (has_run or not row["enabled"]):
        made.left_out = "It was for one start, which is over."
    elif is_past and clocked is not None:
        raise Refused(
            f"Its one time, {rfc3339(clocked)}, has passed.",
            "Start it by hand, if beat has not started it.",
        )
    elif expires is not None and (expires <= at or (clocked is not None and clocked >= expires)):
        raise Refused(f"It has expired ({rfc3339(expires)}): beat starts it no more.")
    return bool(made.left_out)


def _timing(kind: str, schedule: Row, at: datetime) -> Timing:
    if kind == "solar":
        raise Refused(SOLAR, SOLAR_ADVICE)
    if kind == "clocked":
        if (clocked := instant(schedule["clocked_time"])) is None:
            raise Refused("It has no time.")
        return Timing({"at": rfc3339(clocked)})
    if kind == "interval":
        if schedule["period"] not in _PERIODS:
            raise Refused(f"beat knows no period {schedule['period']!r}.")
        length = timedelta(**{schedule["period"]: schedule["every"]})
        return interval_timing(length.total_seconds(), relative=False, zone=UTC, at=at)
    try:
        beat_crontab = crontab(**{name: str(schedule[name]) for name in _FIELDS})
    except (ParseException, ValueError, KeyError) as error:
        raise Refused(
            f"beat itself cannot read its crontab: {shortened(str(error), 200)}"
        ) from error
    zone = schedule.get("timezone")
    return Timing({"cron": cron_of_crontab(beat_crontab)}, zone_name(zone) if zone else None)


def _fill_in(made: PeriodicEntry, row: Row, timing: Timing, at: datetime) -> None:
    last_start, start = instant(row.get("last_run_at")), instant(row.get("start_time"))
    expires = instant(row.get("expires"))
    timing = with_last_start(timing, last_start)
    window = {}
    if "at" not in timing.schedule:
        if start is not None and start > at:
            window["start_at"] = rfc3339(start)
            if "cron" in timing.schedule and last_start is None:
                made.differences.append(FIRST_START)
        if expires is not None:
            window["end_at"] = rfc3339(expires)
        if row.get("one_off"):
            made.fields["max_runs"] = 1
    made.timing = replace(timing, schedule={**timing.schedule, **window})
    made.args, made.kwargs = _json(row, "args", list), _json(row, "kwargs", dict)
    options = {name: row.get(name) for name in _OPTIONS}
    options |= {"expires": row.get("expire_seconds"), "headers": _json(row, "headers", dict)}
    follow_options(made, options)
    made.description = str(row.get("description") or "")
    if not row["enabled"]:
        made.disable()


def _json(row: Row, column: str, kind: type) -> Any:
    """Return the JSON in a column, an empty one if it has none. Raises Refused."""
    text = row.get(column) or ("[]" if kind is list else "{}")
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Refused(f"Its {column} are no JSON, so that beat does not start it.") from error
    if not isinstance(value, kind):
        raise Refused(f"Its {column} are no JSON {'list' if kind is list else 'object'}.")
    return value


def instant(value: Any) -> datetime | None:
    """Return a time of the database; without a zone it is UTC, as Django writes it."""
    if value is None or isinstance(value, datetime):
        read = value
    else:
        try:
            read = datetime.fromisoformat(str(value))
        except ValueError as error:
            raise Refused(f"{shortened(str(value), 40)!r} is no time.") from error
    if read is not None and read.tzinfo is None:
        read = read.replace(tzinfo=UTC)
    return read
