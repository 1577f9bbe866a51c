"""The recurrence rules (RFC 5545) of RedBeat as the schedules of jobs. Pure, no IO.

RedBeat stores a rule with the offset from UTC of its start, and computes the fires by dateutil
at that offset. A schedule that is written here has been compared with what dateutil computes.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from itertools import islice
from typing import Any

from dateutil import rrule

from jobs_app.core.text import counted, rfc3339
from jobs_app.jobs.importers.cron_from_values import CronValues, cron_of
from jobs_app.jobs.importers.drafts import Refused
from jobs_app.jobs.importers.periodic_entry import Json, Timing
from jobs_app.schedules.schedule import Schedule
from jobs_app.schedules.union import MAX_SCHEDULES, fires, union

#: Fires that are compared.
COMPARED = 300
#: A rule that ends after more fires is not counted to its end.
MOST_COUNTED = 10_000

_UNITS = {
    rrule.SECONDLY: timedelta(seconds=1),
    rrule.MINUTELY: timedelta(minutes=1),
    rrule.HOURLY: timedelta(hours=1),
    rrule.DAILY: timedelta(days=1),
    rrule.WEEKLY: timedelta(weeks=1),
}
_NAMES = {rrule.MONTHLY: "month", rrule.YEARLY: "year"}
_FILTERS = (
    *("bymonth", "bymonthday", "byweekday", "byhour", "byminute", "bysecond"),
    *("bysetpos", "byyearday", "byeaster", "byweekno"),
)
_NEVER_HERE = ("byyearday", "byeaster", "byweekno")
_ALL_HOURS, _ALL_MINUTES = range(24), range(60)
_ALL_DAYS, _ALL_MONTHS, _ALL_WEEKDAYS = range(1, 32), range(1, 13), range(7)
_WORKING_DAYS = frozenset(range(5))
_SHORTEST_MONTH = 28
ADVICE = "Write its times as a crontab or as an interval."


@dataclass(frozen=True, slots=True)
class _Rule:
    """A rule without its end: as dateutil has it, and its filters as sets of numbers.

    Weekdays count from Monday as 0, as in dateutil.
    """

    theirs: Any
    freq: int
    interval: int
    start: datetime
    filters: Mapping[str, frozenset[int]]

    @property
    def is_plain(self) -> bool:
        """Whether it has no filters."""
        return not self.filters

    def times(self, name: str, of_start: int, below: int) -> frozenset[int] | None:
        """Return the values of `byhour` and the like; None for all.

        Without the filter these are dateutil's: that of the start for a rule rarer than *below*.
        """
        if name in self.filters:
            return self.filters[name]
        return frozenset({of_start}) if self.freq < below else None


def timing_of_rule(values: Mapping[str, Any], *, at: datetime) -> Timing:
    """Return the fires of the rule that RedBeat stored as *values*. Raises Refused.

    *at* is now.
    """
    try:
        rule = _read(values)
        end = _end_of(rule, values)
    except (KeyError, TypeError, ValueError, OverflowError, ArithmeticError) as error:
        raise Refused(f"RedBeat itself cannot read its rule ({type(error).__name__}).") from error
    if end is not None and end <= at:
        raise Refused(f"It has ended ({rfc3339(end)}).")
    for name in _NEVER_HERE:
        if name in rule.filters:
            raise Refused(f"Its rule has {name}, which no schedule here has.", ADVICE)
    zone, differences = _zone_of(rule.start)
    parts = list(_schedules(rule))
    if not 1 <= len(parts) <= MAX_SCHEDULES:
        raise Refused(f"Its rule is more than {MAX_SCHEDULES} schedules here.", ADVICE)
    _compare(parts, rule, zone)
    window: Json = {} if end is None else {"end_at": rfc3339(end + timedelta(seconds=1))}
    if rule.start > at:
        window["start_at"] = rfc3339(rule.start)
    first, *others = ({**part, **window} for part in parts)
    return Timing(
        first, zone, differences, others=tuple({**other, "timezone": zone} for other in others)
    )


def _read(values: Mapping[str, Any]) -> _Rule:
    start = _instant(values["dtstart"], values.get("dtstart_tz", 0))
    given = {n: values[n] for n in _FILTERS if values.get(n) is not None}
    freq, interval = int(values["freq"]), int(values.get("interval") or 1)
    theirs = rrule.rrule(freq, dtstart=start, interval=interval, wkst=values.get("wkst"), **given)
    filters = {name: _numbers(value) for name, value in given.items()}
    if freq not in (*_UNITS, *_NAMES) or interval < 1:
        raise ValueError("freq")
    return _Rule(theirs, freq, interval, start, filters)


def _instant(seconds: float, offset_minutes: float) -> datetime:
    return datetime.fromtimestamp(seconds, tz=timezone(timedelta(minutes=offset_minutes)))


def _numbers(value: Any) -> frozenset[int]:
    # RedBeat does not store which weekday of a month is meant, and fires on each of them.
    listed: Sequence[Any] = value if isinstance(value, list | tuple) else [value]
    return frozenset(int(getattr(one, "weekday", one)) for one in listed)


def _end_of(rule: _Rule, values: Mapping[str, Any]) -> datetime | None:
    """Return the last fire of a rule that ends; raises Refused if it has too many."""
    ends = []
    if (until := values.get("until")) is not None:
        ends.append(_instant(until, values.get("until_tz", 0)))
    if (count := values.get("count")) is not None:
        if count > MOST_COUNTED:
            raise Refused(f"It ends after {counted(count, 'fire')}: give the job max_runs.", ADVICE)
        ends += list(islice(rule.theirs, count))[-1:] or [rule.start]
    return min(ends, default=None)


def _zone_of(start: datetime) -> tuple[str, tuple[str, ...]]:
    """Return the zone with the offset of *start* all year, and what to say about it."""
    offset = start.utcoffset() or timedelta()
    if not offset:
        return "UTC", ()
    hours, rest = divmod(offset, timedelta(hours=1))
    if rest or not -12 <= hours <= 14:
        raise Refused(f"Its start is at {start:%z} from UTC, an offset that no zone has all year.")
    # POSIX counts westward.
    return f"Etc/GMT{-hours:+d}", (
        f"Its times stay at {start:%z} from UTC when clocks change, in RedBeat as here: give the"
        " job your own zone if they should follow the clock.",
    )


def _schedules(rule: _Rule) -> Iterator[Json]:
    """Yield the schedules that together may have the fires of *rule*. Raises Refused."""
    unit = _UNITS.get(rule.freq)
    is_on_minute = rule.start.second == 0
    if (
        unit is not None
        and rule.is_plain
        and not (rule.interval == 1 and unit.days and is_on_minute)
    ):
        yield _interval(unit * rule.interval, rule.start)
    elif rule.freq in (rrule.DAILY, rrule.WEEKLY) and rule.interval > 1:
        yield from _turns(rule)
    elif rule.freq in _NAMES and rule.interval > 1 and rule.is_plain and not _fits_into_year(rule):
        yield _calendar(rule)
    else:
        yield {"cron": _cron(rule)}


def _interval(length: timedelta, anchor: datetime) -> Json:
    return {"interval_seconds": int(length.total_seconds()), "anchor_at": rfc3339(anchor)}


def _turns(rule: _Rule) -> Iterator[Json]:
    """Yield an interval for each fire of the first turn of every so many days or weeks."""
    length = _UNITS[rule.freq] * rule.interval
    if "bymonth" in rule.filters or "bymonthday" in rule.filters or "bysetpos" in rule.filters:
        raise Refused(f"Its rule has every {rule.interval} turns of some months only.", ADVICE)
    for fire in islice(rule.theirs, MAX_SCHEDULES + 1):
        if fire - rule.start >= length:
            return
        yield _interval(length, fire)


def _fits_into_year(rule: _Rule) -> bool:
    return rule.freq == rrule.MONTHLY and 12 % rule.interval == 0


def _calendar(rule: _Rule) -> Json:
    name = _NAMES[rule.freq]
    if rule.start.day > _SHORTEST_MONTH:
        raise Refused(
            f"It leaves out a {name} without a day {rule.start.day}; an interval here fires on the"
            " last day of a month.",
            ADVICE,
        )
    return {"every": counted(rule.interval, name), "anchor_at": rfc3339(rule.start)}


def _cron(rule: _Rule) -> str:
    """Return an expression that may have the fires of *rule*. Raises Refused."""
    start = rule.start
    if (rule.times("bysecond", start.second, rrule.SECONDLY) or {1}) != {0}:
        raise Refused("It fires at seconds, and an expression here at whole minutes.", ADVICE)
    minutes = rule.times("byminute", start.minute, rrule.MINUTELY)
    hours = rule.times("byhour", start.hour, rrule.HOURLY)
    if rule.interval > 1 and rule.freq == rrule.MINUTELY:
        minutes = _every(rule.interval, start.minute, _ALL_MINUTES, minutes)
    if rule.interval > 1 and rule.freq == rrule.HOURLY:
        hours = _every(rule.interval, start.hour, _ALL_HOURS, hours)
    numbers, last_days, weekdays, months = _days(rule)
    wanted = CronValues(
        minutes=_ALL_MINUTES if minutes is None else minutes,
        hours=_ALL_HOURS if hours is None else hours,
        days=numbers,
        months=months,
        weekdays={(day + 1) % 7 for day in weekdays},
    )
    if positions := rule.filters.get("bysetpos"):
        return _with_positions(wanted, rule, positions)
    if not last_days:
        return cron_of(wanted)
    if set(weekdays) != set(_ALL_WEEKDAYS):
        raise Refused("Its days must be both last days of the month and weekdays.", ADVICE)
    days = [*map(str, sorted(n for n in rule.filters["bymonthday"] if n > 0)), *last_days]
    return _replaced(cron_of(wanted), day=",".join(days))


def _every(step: int, first: int, values: range, chosen: frozenset[int] | None) -> frozenset[int]:
    """Return each *step*th of *values*, among them *first*, that is one of *chosen*."""
    if len(values) % step:
        raise Refused(f"Its interval of {step} starts anew at no hour or day.", ADVICE)
    turns = frozenset(value for value in values if (value - first) % step == 0)
    return turns if chosen is None else turns & chosen


def _days(rule: _Rule) -> tuple[Sequence[int], list[str], frozenset[int], Sequence[int]]:
    """Return the days of the month, those from its end, the weekdays, and the months."""
    filters, start = dict(rule.filters), rule.start
    if not filters.keys() & {"bymonthday", "byweekday"}:
        if rule.freq in _NAMES:
            filters["bymonthday"] = frozenset({start.day})
            if rule.freq == rrule.YEARLY and "bymonth" not in filters:
                filters["bymonth"] = frozenset({start.month})
        elif rule.freq == rrule.WEEKLY:
            filters["byweekday"] = frozenset({start.weekday()})
    months = filters.get("bymonth", frozenset(_ALL_MONTHS))
    if rule.freq == rrule.MONTHLY and rule.interval > 1:
        months &= _every(rule.interval, start.month, _ALL_MONTHS, None)
    if rule.interval > 1 and rule.freq in (rrule.YEARLY, rrule.DAILY, rrule.WEEKLY):
        raise Refused(f"Its interval of {rule.interval} has no expression.", ADVICE)
    days = filters.get("bymonthday", frozenset(_ALL_DAYS))
    from_end = [f"L-{-day - 1}" if day < -1 else "L" for day in sorted(days) if day < 0]
    numbers = _ALL_DAYS if from_end else sorted(days)
    weekdays = filters.get("byweekday", frozenset(_ALL_WEEKDAYS))
    return numbers, from_end, weekdays, sorted(months)


def _with_positions(wanted: CronValues, rule: _Rule, positions: frozenset[int]) -> str:
    """Return an expression for some of the days of a month. Raises Refused."""
    weekdays = rule.filters.get("byweekday", frozenset())
    is_simple = rule.freq == rrule.MONTHLY and "bymonthday" not in rule.filters
    if is_simple and len(wanted.hours) == len(wanted.minutes) == 1:
        every_day = CronValues(wanted.minutes, wanted.hours, _ALL_DAYS, wanted.months, range(7))
        if weekdays == _WORKING_DAYS and positions in ({1}, {-1}):
            return _replaced(cron_of(every_day), day="1W" if positions == {1} else "LW")
        if len(weekdays) == 1 and all(p == -1 or 1 <= p <= 5 for p in positions):
            day = (min(weekdays) + 1) % 7
            terms = [f"{day}L" if p == -1 else f"{day}#{p}" for p in sorted(positions)]
            return _replaced(cron_of(every_day), weekday=",".join(terms))
    raise Refused("Its rule has bysetpos, with which an expression here has no such days.", ADVICE)


def _replaced(cron: str, *, day: str = "*", weekday: str = "*") -> str:
    minute, hour, _, month, _ = cron.split()
    return f"{minute} {hour} {day} {month} {weekday}"


def _compare(parts: Sequence[Json], rule: _Rule, zone: str) -> None:
    """Raise Refused unless *parts* have the first fires of the rule, and no others."""
    ours = union([_schedule(part, rule.start, zone) for part in parts])
    expected = [fire.astimezone(UTC) for fire in islice(rule.theirs, COMPARED)]
    if not expected or ours is None:
        raise Refused("It never fires.")
    found = fires(ours, after=rule.start - timedelta(seconds=1))
    if list(islice(found, len(expected))) != expected:
        raise Refused("No schedule here has exactly the fires of its rule.", ADVICE)


def _schedule(part: Json, start: datetime, zone: str) -> Schedule:
    fields = dict(part)
    if "anchor_at" in fields:
        fields["anchor_at"] = datetime.fromisoformat(fields["anchor_at"])
    return Schedule(**fields, timezone=zone, start_at=start)
