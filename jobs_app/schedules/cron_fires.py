"""The fires of a cron expression in a time zone: the next, the previous, their number.

Pure, no IO. The step from days to instants is our own. With cronsim's, the second 01:10 of an
autumn night is followed by the first 01:30, `0 */2` in Lord Howe loses the morning of the
change, and the previous fire is not the inverse of the next.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterator
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from jobs_app.schedules import timezones
from jobs_app.schedules.cron_expression import Expression

_MINUTE = timedelta(minutes=1)
_DAY = timedelta(days=1)
# Fires lie between these instants: there the local time of every zone can be computed.
_FIRST = datetime(1970, 1, 2, tzinfo=UTC)
_LAST = datetime(9998, 12, 31, tzinfo=UTC)
# The longest time between fires is 40 years: 29 February on one weekday, across 2100.
_SEARCH_YEARS = 50


@lru_cache(maxsize=4096)
def next_fire(expression: Expression, zone: ZoneInfo, after: datetime) -> datetime | None:
    """Return the first fire strictly later than *after*, in UTC; None if there is none.

    Debian's rule: a local time that is skipped fires at the first moment after the gap, and
    one that comes twice fires the first time. With a star in front of the minutes or hours,
    each real minute fires whose local time matches.
    """
    after = max(after, _FIRST)
    if after >= _LAST:
        return None
    start = after.astimezone(zone).date()
    if timezones.plain_midnight(zone, start - _DAY) is None:
        # A time that was skipped yesterday fires today, or the clock went back to yesterday.
        start -= _DAY
    for day in _dates_from(expression, start):
        fire = _first_on(expression, zone, day, after)
        if fire is None:
            continue
        if timezones.plain_midnight(zone, day) is not None:
            return fire
        # A clock set back across midnight (St John's until 2011) shows tomorrow, then today again.
        tomorrow = day + _DAY
        other = (
            _first_on(expression, zone, tomorrow, after)
            if expression.fires_on_day(tomorrow)
            else None
        )
        return min(fire, other) if other is not None else fire
    return None


def previous_fire(expression: Expression, zone: ZoneInfo, before: datetime) -> datetime | None:
    """Return the last fire strictly earlier than *before*, in UTC: the inverse of next_fire."""
    before = min(before, _LAST)
    if before <= _FIRST:
        return None
    start = before.astimezone(zone).date()
    if timezones.plain_midnight(zone, start + _DAY) is None:
        start += _DAY
    for day in _dates_until(expression, start):
        fire = _last_on(expression, zone, day, before)
        if fire is None:
            continue
        if timezones.plain_midnight(zone, day) is None and expression.fires_on_day(day - _DAY):
            other = _last_on(expression, zone, day - _DAY, before)
            fire = max(fire, other) if other is not None else fire
        return fire if fire > _FIRST else None
    return None


def count(expression: Expression, zone: ZoneInfo, after: datetime, until: datetime) -> int:
    """Return the number of fires in (after, until].

    The work is a few steps for each month, and none for a single fire.
    """
    after, until = max(after, _FIRST), min(until, _LAST)
    if until <= after:
        return 0
    # Near the ends, single fires are compared: a fire lies at most a day from its local day.
    first = after.astimezone(zone).date() - 2 * _DAY
    last = until.astimezone(zone).date() + 2 * _DAY
    begin, end = first + 5 * _DAY, last - 5 * _DAY
    if begin > end:
        return _count_fires(expression, zone, (first, last), (after, until))
    edges = _count_fires(expression, zone, (first, begin - _DAY), (after, until))
    edges += _count_fires(expression, zone, (end + _DAY, last), (after, until))
    return edges + _count_days(expression, zone, begin, end)


def _count_fires(
    expression: Expression,
    zone: ZoneInfo,
    days: tuple[date, date],
    bounds: tuple[datetime, datetime],
) -> int:
    """Count the fires in *bounds*, without its start, that belong to the local *days*."""
    after, until = bounds
    return sum(
        after < fire <= until
        for number in range((days[1] - days[0]).days + 1)
        for fire in _new_fires(expression, zone, days[0] + number * _DAY)
    )


def _count_days(expression: Expression, zone: ZoneInfo, begin: date, end: date) -> int:
    """Count the fires that belong to the local days from *begin* to *end*."""
    total = 0
    year, month = begin.year, begin.month
    while (year, month) <= (end.year, end.month):
        is_whole = (begin.year, begin.month) != (year, month) != (end.year, end.month)
        if is_whole:
            total += _count_month(expression, zone, year, month)
        else:
            dates = (date(year, month, day) for day in _days_of(expression, year, month))
            chosen = [day for day in dates if begin <= day <= end]
            total += sum(len(_new_fires(expression, zone, day)) for day in chosen)
        year, month = (year, month + 1) if month < 12 else (year + 1, 1)
    return total


@lru_cache(maxsize=16_384)
def _count_month(expression: Expression, zone: ZoneInfo, year: int, month: int) -> int:
    """Count the fires that belong to the local days of a month."""
    days = _days_of(expression, year, month)
    changed = timezones.changed_days(zone, year, month).intersection(days)
    fires = (_new_fires(expression, zone, date(year, month, day)) for day in changed)
    return (len(days) - len(changed)) * len(expression.minutes_of_day) + sum(map(len, fires))


def _new_fires(expression: Expression, zone: ZoneInfo, day: date) -> Collection[datetime]:
    """Return the fires of a local *day*, without those that the day before has too."""
    fires = _fires_on(expression, zone, day)
    yesterday = day - _DAY
    if not fires or timezones.plain_midnight(zone, yesterday) is not None:
        return fires
    return {*fires}.difference(_fires_on(expression, zone, yesterday))


def _fires_on(expression: Expression, zone: ZoneInfo, day: date) -> Collection[datetime]:
    if not expression.fires_on_day(day):
        return ()
    midnight = timezones.plain_midnight(zone, day)
    if midnight is None:
        return fires_on_changed_day(expression, zone, day)
    return [midnight + minute * _MINUTE for minute in expression.minutes_of_day]


@lru_cache(maxsize=512)
def fires_on_changed_day(expression: Expression, zone: ZoneInfo, day: date) -> tuple[datetime, ...]:
    """Return the fires of a local *day* on which the clock is changed.

    They include the fire, on the next day, of a time that is skipped at the end of *day*.
    """
    midnight = datetime.combine(day, time())
    periods = timezones.offset_periods(zone, day)
    fires = set()
    for minute in expression.minutes_of_day:
        local = midnight + minute * _MINUTE
        if expression.is_real_time:
            fires |= {
                period.instant(local)
                for period in periods
                if period.local_start <= local < period.local_end
            }
        else:
            # The first moment at which the clock shows this time or a later one.
            period = next(period for period in periods if local < period.local_end)
            fires.add(period.instant(max(local, period.local_start)))
    return tuple(sorted(fires))


def replaces_skipped_time(expression: Expression, zone: ZoneInfo, fire: datetime) -> bool:
    """Return whether *fire* comes at the end of a gap in place of a skipped time."""
    skipped = timezones.skipped_before(zone, fire)
    if expression.is_real_time or not skipped:
        return False
    end = fire.astimezone(zone).replace(tzinfo=None)
    local = end - skipped
    while local < end:
        midnight = datetime.combine(local.date(), time())
        minute = expression.minute_after((local - midnight - _MINUTE) // _MINUTE)
        if (
            minute is not None
            and midnight + minute * _MINUTE < end
            and expression.fires_on_day(local.date())
        ):
            return True
        local = midnight + _DAY
    return False


def _first_on(
    expression: Expression, zone: ZoneInfo, day: date, after: datetime
) -> datetime | None:
    """Return the first fire of a matching local *day* that is later than *after*."""
    midnight = timezones.plain_midnight(zone, day)
    if midnight is None:
        fires = fires_on_changed_day(expression, zone, day)
        index = bisect_right(fires, after)
        return fires[index] if index < len(fires) else None
    minute = expression.minute_after((after - midnight) // _MINUTE)
    return None if minute is None else midnight + minute * _MINUTE


def _last_on(
    expression: Expression, zone: ZoneInfo, day: date, before: datetime
) -> datetime | None:
    """Return the last fire of a matching local *day* that is earlier than *before*."""
    midnight = timezones.plain_midnight(zone, day)
    if midnight is None:
        fires = fires_on_changed_day(expression, zone, day)
        index = bisect_left(fires, before)
        return fires[index - 1] if index else None
    # Rounded up: at 00:00:30 the fire of 00:00 is over.
    minute = expression.minute_before(-((midnight - before) // _MINUTE))
    return None if minute is None else midnight + minute * _MINUTE


def _dates_from(expression: Expression, start: date) -> Iterator[date]:
    """Yield the matching dates from *start* on, until none can be expected."""
    year, month, first = start.year, start.month, start.day
    while year <= min(start.year + _SEARCH_YEARS, _LAST.year):
        for day in _days_of(expression, year, month):
            if day >= first:
                yield date(year, month, day)
        first = 1
        year, month = (year, month + 1) if month < 12 else (year + 1, 1)


def _dates_until(expression: Expression, start: date) -> Iterator[date]:
    """Yield the matching dates from *start* backwards."""
    year, month, last = start.year, start.month, start.day
    while year >= max(start.year - _SEARCH_YEARS, _FIRST.year):
        for day in reversed(_days_of(expression, year, month)):
            if day <= last:
                yield date(year, month, day)
        last = 31
        year, month = (year, month - 1) if month > 1 else (year - 1, 12)


@lru_cache(maxsize=16_384)
def _days_of(expression: Expression, year: int, month: int) -> tuple[int, ...]:
    if month not in expression.months:
        return ()
    begin = date(year, month, 1)
    days = [begin + number * _DAY for number in range(31)]
    return tuple(day.day for day in days if day.month == month and expression.fires_on_day(day))
