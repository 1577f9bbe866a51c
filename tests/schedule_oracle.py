"""The fires of cron expressions by brute force: each real minute is checked in turn.

Independent of the code that it tests: its own parser of the fields, no jumps, no caches, no
cronsim. It is slow, and short enough to be checked by reading.
"""

from calendar import monthrange
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)
MONTHS = ["", "JAN", "FEB", "MAR", "APR", "MAY", "JUN"]
MONTHS += ["JUL", "AUG", "SEP", "OCT", "NOV", "DEC"]
WEEKDAYS = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"]


def fires_between(cron: str, zone_name: str, after: datetime, until: datetime) -> list[datetime]:
    """Return the fires of a five-field expression in (after, until], in UTC.

    Debian's rule. With a star in front of the minutes or the hours, a minute fires if its
    local time matches. Otherwise each local time fires once: when the local clock reaches it
    or jumps over it for the first time, and not again after the clock is set back.
    """
    zone = ZoneInfo(zone_name)
    minutes, hours, *_ = cron.split()
    is_wildcard = minutes.startswith("*") or hours.startswith("*")
    # Start two days earlier, so that the latest local time so far is known.
    now = after.astimezone(UTC).replace(second=0, microsecond=0) - 2 * DAY
    latest = local_time(now, zone)
    fires = []
    while now <= until:
        local = local_time(now, zone)
        if is_wildcard:
            is_due = matches(cron, local)
        else:
            passed = (local - latest) // MINUTE
            is_due = any(matches(cron, local - ago * MINUTE) for ago in range(passed))
            latest = max(latest, local)
        if is_due and after < now:
            fires.append(now)
        now += MINUTE
    return fires


def calendar_fires_between(
    interval: tuple[int, str], zone_name: str, anchor: datetime, after: datetime, until: datetime
) -> list[datetime]:
    """Return the fires of every so many days, weeks, months or years in (after, until], in UTC.

    The anchor, on a full minute, is the first. Each later local time fires as a fixed time of
    a cron expression does.
    """
    zone = ZoneInfo(zone_name)
    first = local_time(anchor, zone)
    now = after.astimezone(UTC).replace(second=0, microsecond=0) - 2 * DAY
    days = range(1, (until - anchor) // DAY + 3)
    dates = {
        day for n in days if is_in_series(interval, first.date(), day := first.date() + n * DAY)
    }
    latest = local_time(now, zone)
    fires = []
    while now <= until:
        local = local_time(now, zone)
        passed = (local - latest) // MINUTE
        reached = [local - ago * MINUTE for ago in range(passed)]
        is_due = any(one.date() in dates and one.time() == first.time() for one in reached)
        if (is_due or now == anchor) and after < now:
            fires.append(now)
        latest = max(latest, local)
        now += MINUTE
    return fires


def is_in_series(interval: tuple[int, str], first: date, day: date) -> bool:
    """Return whether the later *day* is so many units after *first*."""
    number, unit = interval
    if unit in ("day", "week"):
        return (day - first).days % (number * {"day": 1, "week": 7}[unit]) == 0
    months = 12 * (day.year - first.year) + day.month - first.month
    is_last_instead = (day + DAY).day == 1 and first.day > day.day
    is_day = day.day == first.day or is_last_instead
    return is_day and months % (number * {"month": 1, "year": 12}[unit]) == 0


def local_time(instant: datetime, zone: ZoneInfo) -> datetime:
    return instant.astimezone(zone).replace(tzinfo=None)


def matches(cron: str, local: datetime) -> bool:
    """Return whether a local time matches all fields; if both day fields are set, one is enough."""
    minute, hour, day, month, weekday = cron.split()
    if local.minute not in numbers(minute, 0, 59) or local.hour not in numbers(hour, 0, 23):
        return False
    if local.month not in numbers(month, 1, 12, MONTHS):
        return False
    day_matches = any(is_day(term, local.date()) for term in day.split(","))
    weekday_matches = any(is_weekday(term, local.date()) for term in weekday.split(","))
    if day.startswith("*") or weekday.startswith("*"):
        return day_matches and weekday_matches
    return day_matches or weekday_matches


def is_day(term: str, day: date) -> bool:
    last = monthrange(day.year, day.month)[1]
    if term == "L":
        return day.day == last
    if term == "LW":
        working = [n for n in range(1, last + 1) if date(day.year, day.month, n).weekday() < 5]
        return day.day == working[-1]
    if term.endswith("W"):
        return day in working_days(day, term.removesuffix("W"))
    if term.startswith("L-"):
        return day.day == last - int(term.removeprefix("L-"))
    return day.day in numbers(term, 1, 31)


def working_days(day: date, term: str) -> list[date]:
    """Return the working day of the month of *day* that is nearest to its day *term*, if any."""
    first = day.replace(day=1)
    month = [first + n * DAY for n in range(monthrange(day.year, day.month)[1])]
    nearest_to = [one for one in month if is_day(term, one)]
    working = [one for one in month if one.strftime("%a") not in ("Sat", "Sun")]
    return [min(working, key=lambda one: abs(one - target)) for target in nearest_to]


def is_weekday(term: str, day: date) -> bool:
    number = day.isoweekday() % 7
    if term.endswith("L"):
        return number == int(term[:-1]) % 7 and (day + 7 * DAY).month != day.month
    if "#" in term:
        name, nth = term.split("#")
        return number == value(name, WEEKDAYS) % 7 and (day.day - 1) // 7 + 1 == int(nth)
    return any(number == n % 7 for n in numbers(term, 0, 7, WEEKDAYS))


def numbers(text: str, low: int, high: int, names: list[str] | None = None) -> set[int]:
    """Return the numbers of a list of terms: 5, 1-5, *, each with /step or without."""
    result: set[int] = set()
    for term in text.split(","):
        span, _, step = term.partition("/")
        first, _, last = span.partition("-")
        if span == "*":
            begin, end = low, high
        elif last:
            begin, end = value(first, names), value(last, names)
        else:
            begin, end = value(first, names), high if step else value(first, names)
        result |= set(range(begin, end + 1, int(step or 1)))
    return result


def value(text: str, names: list[str] | None) -> int:
    return int(text) if text.isdigit() else (names or []).index(text)
