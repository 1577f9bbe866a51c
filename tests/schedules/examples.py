"""Schedules that tests share: zones with strange clocks, expressions, and a way to make one."""

from datetime import UTC, date, datetime, timedelta
from functools import cache
from itertools import pairwise
from zoneinfo import ZoneInfo

from hypothesis import strategies as st

from jobs_app.schedules.schedule import Schedule

NOW = datetime(2026, 1, 15, 12, tzinfo=UTC)
TICK = timedelta(microseconds=1)
SECOND = timedelta(seconds=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
NEW_YORK = "America/New_York"
SPRING = date(2026, 3, 8)
AUTUMN = date(2026, 11, 1)

ZONES = (
    "UTC",
    NEW_YORK,
    "Europe/Paris",
    "Europe/Dublin",  # winter is the exception by its law
    "Australia/Lord_Howe",  # changes by half an hour
    "America/Sao_Paulo",  # midnight was skipped
    "America/Havana",  # midnight comes twice
    "America/St_Johns",  # went back from 00:01, across midnight
    "America/Asuncion",
    "Africa/Casablanca",  # goes back for Ramadan
    "Africa/Cairo",  # abolished it and brought it back
    "Europe/Volgograd",  # changed its standard time, twice
    "Asia/Pyongyang",  # the same by half an hour
    "Asia/Gaza",
    "Asia/Tehran",
    "Antarctica/Troll",  # two hours
    "America/Nuuk",
    "Pacific/Apia",  # had no 30 December 2011
    "Pacific/Kwajalein",  # had no 21 August 1993
)
MINUTES = ("*", "*/30", "*/7", "0", "30", "59", "0,30", "15,45", "0-59/20", "*,5")
HOURS = ("*", "*/2", "*/5", "0", "1", "2", "3", "23", "0-3", "1,2", "0,1,22,23", "0-23")
DAYS = ("*", "*", "*", "*/2", "1", "L", "LW", "15-31", "29,30,31", "L-1", "15W", "1W,LW,L-30")
MONTHS = ("*", "*", "*", "1-11", "MAR,OCT,NOV")
WEEKDAYS = ("*", "*", "*", "SUN", "0", "7", "1-5", "5L", "MON#2", "*/2")

crons = st.tuples(*map(st.sampled_from, (MINUTES, HOURS, DAYS, MONTHS, WEEKDAYS))).map(" ".join)


@cache
def changes(zone_name: str) -> list[datetime]:
    """Return a moment within a day before each change of a zone's clock, 1975 to 2040."""
    zone = ZoneInfo(zone_name)
    moments = [datetime(1975, 1, 1, tzinfo=UTC) + n * DAY for n in range(65 * 365)]
    offsets = [moment.astimezone(zone).utcoffset() for moment in moments]
    actual = [
        moment
        for moment, (here, there) in zip(moments, pairwise(offsets), strict=False)
        if here != there
    ]
    return actual or [NOW]


@st.composite
def nights(draw) -> tuple[str, datetime]:
    """Draw a zone and an instant near one of the changes of its clock."""
    zone = draw(st.sampled_from(ZONES))
    change = draw(st.sampled_from(changes(zone)))
    return zone, change + draw(st.integers(-100_000, 150_000)) * SECOND


def cron(expression: str, zone: str = "UTC", **changes: object) -> Schedule:
    # The keywords are of mixed types.
    return Schedule(cron=expression, timezone=zone, **changes)  # type: ignore[arg-type]
