"""The triggers of APScheduler 3 as the schedules of jobs. Pure, no IO.

All fields of its cron trigger must match, weekdays count from Monday as 0, and the day may be a
weekday of the month or the last one.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from math import ceil
from typing import Any

from jobs_app.core.text import counted, rfc3339
from jobs_app.jobs.importers.apscheduler_pickles import Stored
from jobs_app.jobs.importers.beat_schedules import zone_name
from jobs_app.jobs.importers.cron_from_values import CronValues, cron_of
from jobs_app.jobs.importers.drafts import Refused
from jobs_app.jobs.importers.periodic_entry import Timing
from jobs_app.schedules.union import MAX_SCHEDULES

#: The least and the greatest value of each field that an expression here has.
_BOUNDS = {
    "month": (1, 12),
    "day": (1, 31),
    "day_of_week": (0, 6),
    "hour": (0, 23),
    "minute": (0, 59),
    "second": (0, 59),
}
_MINUTE = 60
_SHORTEST_MONTH = 28
_LAST_WEEKDAY = 5
WEEKDAYS_FROM_MONDAY = (
    "APScheduler counts weekdays from Monday as 0, and the job fires on the same days: a number"
    " that was meant as cron has it fires a day later than meant, there as here."
)
JITTER = "jitter: each fire has its own delay, which stays the same; APScheduler draws it anew."
SECONDS_ADVICE = "Let it start at whole minutes, or as an interval of seconds."


@dataclass(slots=True)
class _Days:
    """The days of a month in the field `day`: numbers, and terms of an expression."""

    numbers: set[int] = field(default_factory=set)
    days: list[str] = field(default_factory=list)
    weekdays: list[str] = field(default_factory=list)


def timing_of_trigger(trigger: Any, next_run: datetime | None, *, at: datetime) -> Timing:
    """Return the fires of *trigger*, whose next one is *next_run*. Raises Refused.

    *at* is now.
    """
    kind = trigger.kind if isinstance(trigger, Stored) else type(trigger).__name__
    read = _READERS.get(kind)
    if read is None and kind != "OrTrigger":
        raise Refused(
            f"{kind} is no trigger that a schedule here has: cron, interval and date are.",
            "Make one job for each of its schedules.",
        )
    try:
        if read is None:
            return _either(trigger.state, at=at)
        timing: Timing = read(trigger.state, next_run)
        return _with_window(timing, trigger.state, at=at)
    except (KeyError, AttributeError, TypeError, ValueError, OverflowError) as error:
        raise Refused(
            f"Its trigger is not stored as APScheduler 3 does it ({type(error).__name__})."
        ) from error


def _with_window(timing: Timing, state: Mapping[str, Any], *, at: datetime) -> Timing:
    """Return *timing* with the start, the end and the jitter of a trigger. Raises Refused."""
    more: dict[str, Any] = {}
    differences = timing.differences
    start, end = state.get("start_date"), _end_of(state)
    if isinstance(start, datetime) and start > at and "cron" in timing.schedule:
        more["start_at"] = rfc3339(start)
    if end is not None:
        if end <= at:
            raise Refused(f"It has ended ({rfc3339(end)}).")
        # The end itself is a fire there.
        more["end_at"] = rfc3339(end + timedelta(seconds=1))
    if jitter := state.get("jitter"):
        more["jitter_seconds"] = ceil(jitter)
        differences = (*differences, JITTER)
    return replace(timing, schedule={**timing.schedule, **more}, differences=differences)


def _date(state: Mapping[str, Any], _: datetime | None) -> Timing:
    return Timing({"at": rfc3339(state["run_date"])})


def _interval(state: Mapping[str, Any], next_run: datetime | None) -> Timing:
    interval: timedelta = state["interval"]
    seconds = interval.total_seconds()
    if seconds != int(seconds) or seconds < 1:
        raise Refused(f"An interval of {seconds:g} s is no whole number of seconds from 1 on.")
    anchor: datetime = state["start_date"]
    # A change of the next run moves all that follow.
    if next_run is not None and not state.get("jitter") and (next_run - anchor) % interval:
        anchor = next_run
    zone = zone_name(state["timezone"])
    return Timing({"interval_seconds": int(seconds), "anchor_at": rfc3339(anchor)}, zone)


def _calendar(state: Mapping[str, Any], _: datetime | None) -> Timing:
    years, months, weeks, days = state["interval"]
    units = {"month": 12 * years + months, "day": 7 * weeks + days}
    chosen = [(unit, number) for unit, number in units.items() if number]
    start: date = state["start_date"]
    if len(chosen) != 1:
        raise Refused("Its interval has both months and days, and one here has one unit.")
    ((unit, number),) = chosen
    if unit == "month" and start.day > _SHORTEST_MONTH:
        raise Refused(
            f"It leaves out months without a day {start.day}; an interval here fires on their"
            " last day.",
            "Write it as cron.",
        )
    zone: tzinfo = state["timezone"]
    anchor = datetime.combine(start, time(*state["time"]), tzinfo=zone)
    schedule = {"every": counted(number, unit), "anchor_at": rfc3339(anchor)}
    return Timing(schedule, zone_name(zone))


def _cron(state: Mapping[str, Any], _: datetime | None) -> Timing:
    fields = {one.state["name"]: one.state["expressions"] for one in state["fields"]}
    for name in ("year", "week"):
        if not _is_any(fields[name]):
            raise Refused(f"It names a {name}, and an expression here has none.")
    zone = zone_name(state["timezone"])
    days = _days(fields["day"])
    values = {name: set(_values(fields[name], name)) for name in _BOUNDS if name != "day"}
    differences = _numbered_weekdays(fields["day_of_week"])
    seconds = values.pop("second")
    if seconds != {0}:
        return _seconds(seconds, values, days, zone)
    wanted = CronValues(
        minutes=values["minute"],
        hours=values["hour"],
        days=days.numbers if not (days.days or days.weekdays) else range(1, 32),
        months=values["month"],
        weekdays={(day + 1) % 7 for day in values["day_of_week"]},
        has_star=any(_has_star(fields[name]) for name in ("minute", "hour")),
    )
    return Timing({"cron": _with_days(cron_of(wanted), days, wanted)}, zone, differences)


def _with_days(cron: str, days: _Days, values: CronValues) -> str:
    """Return *cron* with the days that have no number. Raises Refused."""
    if not (days.days or days.weekdays):
        return cron
    if len(set(values.weekdays)) < 7:
        raise Refused(
            "It fires on days that match both a day of the month and its day_of_week."
            " A cron expression here matches either of them."
        )
    minute, hour, _, month, _ = cron.split()
    # Both fields match here if one does, as the terms of `day` do there.
    day = ",".join([*map(str, sorted(days.numbers)), *days.days]) or "*"
    return f"{minute} {hour} {day} {month} {','.join(days.weekdays) or '*'}"


def _seconds(seconds: set[int], values: Mapping[str, set[int]], days: _Days, zone: str) -> Timing:
    """Return an interval for every so many seconds of each minute. Raises Refused."""
    step = min(seconds - {0}, default=_MINUTE)
    is_even = _MINUTE % step == 0 and seconds == set(range(0, _MINUTE, step))
    is_each_minute = days.numbers == set(range(1, 32)) and all(
        found == set(range(_BOUNDS[name][0], _BOUNDS[name][1] + 1))
        for name, found in values.items()
    )
    if not (is_even and is_each_minute):
        raise Refused(
            "It starts at certain seconds, which a cron expression lacks.", SECONDS_ADVICE
        )
    # From a whole minute on.
    anchor = datetime(2000, 1, 1, tzinfo=UTC)
    return Timing({"interval_seconds": step, "anchor_at": rfc3339(anchor)}, zone)


def _is_any(expressions: Sequence[Stored]) -> bool:
    return any(
        one.kind == "AllExpression" and (one.state.get("step") or 1) == 1 for one in expressions
    )


def _has_star(expressions: Sequence[Stored]) -> bool:
    return any(one.kind == "AllExpression" for one in expressions)


def _values(expressions: Sequence[Stored], name: str) -> Iterator[int]:
    """Yield the values of the field *name*. Raises Refused for an unknown expression."""
    low, high = _BOUNDS[name]
    for one in expressions:
        step, first, last = one.state.get("step") or 1, low, high
        if one.kind in ("RangeExpression", "MonthRangeExpression", "WeekdayRangeExpression"):
            first = one.state["first"]
            last = high if one.state.get("last") is None else one.state["last"]
        elif one.kind != "AllExpression":
            raise Refused(f"{one.kind} is no expression of the field {name}.")
        if not (low <= first <= last <= high and step >= 1):
            raise ValueError(name)
        yield from range(first, last + 1, step)


def _days(expressions: Sequence[Stored]) -> _Days:
    days = _Days()
    for one in expressions:
        if one.kind == "LastDayOfMonthExpression":
            days.days.append("L")
        elif one.kind == "WeekdayPositionExpression":
            position, weekday = one.state["option_num"], (one.state["weekday"] + 1) % 7
            is_last = position == _LAST_WEEKDAY
            days.weekdays.append(f"{weekday}L" if is_last else f"{weekday}#{position + 1}")
        else:
            days.numbers.update(_values([one], "day"))
    if days.numbers == set(range(1, 32)):
        # Each day is there already.
        return _Days(days.numbers)
    return days


def _numbered_weekdays(expressions: Sequence[Stored]) -> tuple[str, ...]:
    is_numbered = any(one.kind == "RangeExpression" for one in expressions)
    return (WEEKDAYS_FROM_MONDAY,) if is_numbered else ()


def _either(state: Mapping[str, Any], *, at: datetime) -> Timing:
    """Return one schedule for each trigger of an OrTrigger that has not ended. Raises Refused."""
    crons = list(_crons(state))
    left = [cron for cron in crons if (end := _end_of(cron)) is None or end > at]
    if not left:
        raise Refused("All of its triggers have ended.")
    if len(left) > MAX_SCHEDULES:
        raise Refused(f"Its OrTrigger has {len(left)} triggers; a job has {MAX_SCHEDULES} at most.")
    jitter = state.get("jitter")
    first, *others = [
        _with_window(_cron(cron, None), {**cron, "jitter": cron.get("jitter") or jitter}, at=at)
        for cron in left
    ]
    differences = dict.fromkeys(d for timing in (first, *others) for d in timing.differences)
    more = tuple({**other.schedule, "timezone": other.timezone} for other in others)
    return replace(first, differences=tuple(differences), others=more)


def _crons(state: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield the states of the cron triggers of an OrTrigger. Raises Refused for other kinds."""
    for reference, trigger in state["triggers"]:
        kind = str(reference).rpartition(":")[2]
        if kind == "OrTrigger":
            yield from _crons(trigger)
        elif kind == "CronTrigger":
            yield trigger
        else:
            # An interval counts from the last fire of any of them; a date fires only as the first.
            raise Refused(
                f"Its OrTrigger has a trigger {kind}, whose fires depend there on the others.",
                "Make one job for each of its triggers.",
            )


def _end_of(state: Mapping[str, Any]) -> datetime | None:
    """Return the last instant at which a trigger may fire."""
    end = state.get("end_date")
    if end is None or isinstance(end, datetime):
        return end
    midnight = datetime.combine(end, time(), tzinfo=state["timezone"])
    return midnight + timedelta(days=1, seconds=-1)


_READERS = {
    "CronTrigger": _cron,
    "IntervalTrigger": _interval,
    "DateTrigger": _date,
    "CalendarIntervalTrigger": _calendar,
}
