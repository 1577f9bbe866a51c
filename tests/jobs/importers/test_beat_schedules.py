"""The schedules of Celery fire here at the times at which beat starts them."""

from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import islice
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from celery import Celery
from celery.schedules import crontab, schedule, solar
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs_app.jobs.importers.beat_schedules import timing_of
from jobs_app.jobs.importers.drafts import Refused
from jobs_app.schedules.schedule import Schedule, fires
from tests.profiles import examples

AT = datetime(2026, 11, 30, 9, 41, 7, tzinfo=UTC)
NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC)
YEAR = timedelta(days=365)
MOST_FIRES = 300


def app_in(zone: str) -> Celery:
    app = Celery("theirs", set_as_current=False)
    app.conf.update(timezone=zone)
    return app


APP = app_in("UTC")


def fires_of_beat(beat_crontab: Any) -> list[datetime]:
    """Return the fires that Celery itself estimates, each from the one before."""
    found: list[datetime] = []
    last = NEW_YEAR
    while len(found) < MOST_FIRES:
        # By its clock, no time has passed since the last start.
        beat_crontab.nowfun = partial(lambda now: now, last)
        last += beat_crontab.remaining_estimate(last)
        if last >= NEW_YEAR + YEAR:
            break
        beat_crontab.nowfun = partial(lambda now: now, last)
        assert beat_crontab.is_due(last - timedelta(minutes=1)).is_due
        found.append(last)
    return found


def fires_here(cron: str) -> list[datetime]:
    first = fires(Schedule(cron=cron), after=NEW_YEAR, until=NEW_YEAR + YEAR - timedelta(seconds=1))
    return list(islice(first, MOST_FIRES))


def values(low: int, high: int, *texts: str) -> st.SearchStrategy:
    """Fields as people write them, also ones that cron does not read: 22-3, a list, a set."""
    number = st.integers(low, high)
    one_range = st.tuples(number, number).map(lambda ends: f"{ends[0]}-{ends[1]}")
    term = st.one_of(
        number.map(str),
        one_range,
        st.tuples(one_range, st.integers(1, 9)).map(lambda both: f"{both[0]}/{both[1]}"),
        st.integers(2, 9).map(lambda step: f"*/{step}"),
        *map(st.just, texts),
    )
    return st.one_of(
        number,
        st.lists(term, min_size=1, max_size=3).map(",".join),
        st.sets(number, min_size=1, max_size=3),
    )


@given(
    minute=values(0, 59),
    hour=values(0, 23),
    day_of_month=st.one_of(st.just("*"), values(1, 31, "1-7", "15-21")),
    month_of_year=st.one_of(st.just("*"), values(1, 12, "jan", "nov-feb")),
    day_of_week=st.one_of(st.just("*"), values(0, 6, "mon-fri", "sat-mon", "sunday")),
)
@settings(max_examples=examples(60), deadline=None)
def test_a_crontab_fires_as_celery_says_for_a_year(**fields):
    try:
        beat_crontab = crontab(app=APP, **fields)
    except ValueError:
        return  # 30 February
    timing, problem = None, ""
    try:
        timing = timing_of(crontab(app=APP, **fields), at=AT)
    except Refused as refusal:
        problem = refusal.problem
    if timing is None:
        assert "either of them" in problem
        return

    assert timing.timezone == "UTC"
    assert fires_here(timing.schedule["cron"]) == fires_of_beat(beat_crontab)


def test_both_day_fields_must_match_as_in_celery():
    first_monday = crontab(0, 9, day_of_month="1-7", day_of_week="mon", app=APP)

    timing = timing_of(first_monday, at=AT)

    assert timing.schedule == {"cron": "0 9 * * 1#1"}
    assert fires_here("0 9 * * 1#1") == fires_of_beat(first_monday)
    with pytest.raises(Refused, match="13; Friday"):
        timing_of(crontab(0, 0, day_of_month=13, day_of_week="fri", app=APP), at=AT)


def test_a_crontab_is_in_the_zone_of_its_application():
    timing = timing_of(crontab(30, 7, app=app_in("Europe/Paris")), at=AT)

    assert (timing.schedule, timing.timezone) == ({"cron": "30 7 * * *"}, "Europe/Paris")


def test_a_crontab_with_a_nowfun_is_in_its_zone_and_says_so():
    nowfun = partial(datetime.now, ZoneInfo("America/New_York"))

    timing = timing_of(crontab(30, 7, nowfun=nowfun, app=APP), at=AT)

    assert timing.timezone == "America/New_York"
    assert "in UTC, the zone of the application" in timing.differences[0]


def test_a_nowfun_without_a_zone_is_refused_unless_it_is_utc():
    local = lambda: datetime(2026, 1, 1, 3)  # noqa: DTZ001, E731  # the fault that people make
    utc = lambda: datetime.now(UTC).replace(tzinfo=None)  # noqa: E731  # as utcnow()

    assert timing_of(crontab(nowfun=utc, app=APP), at=AT).timezone == "UTC"
    with pytest.raises(Refused, match="without a zone"):
        timing_of(crontab(nowfun=local, app=APP), at=AT)


@pytest.mark.parametrize(
    "seconds, relative, expected",
    [
        (90, False, {"interval_seconds": 90}),
        (90, True, {"cron": "* * * * *"}),
        (30, True, {"interval_seconds": 30}),
        (3600, True, {"cron": "0 * * * *"}),
        (86_400, True, {"cron": "0 0 * * *"}),
        (7200, True, {"interval_seconds": 7200, "anchor_at": "2026-11-30T09:00:00Z"}),
        (3 * 86_400, True, {"every": "3 days", "anchor_at": "2026-11-29T23:00:00Z"}),
    ],
)
def test_an_interval_keeps_its_length_and_relative_its_whole_units(seconds, relative, expected):
    paris = app_in("Europe/Paris")

    timing = timing_of(schedule(timedelta(seconds=seconds), relative, app=paris), at=AT)

    assert timing.schedule == expected


def test_relative_rounds_down_as_celery_does():
    every: Any = schedule(timedelta(minutes=150), relative=True, app=APP)
    last = datetime(2026, 1, 1, 3, tzinfo=UTC)
    every.nowfun = partial(lambda now: now, last)

    timing = timing_of(schedule(timedelta(minutes=150), relative=True, app=APP), at=AT)

    assert every.remaining_estimate(last) == timedelta(hours=2)
    assert timing.schedule["interval_seconds"] == 7200
    assert "150 minutes" in timing.differences[0]


@pytest.mark.parametrize("seconds", [0, -5, 0.5, 1.5])
def test_an_interval_that_is_no_whole_number_of_seconds_is_refused(seconds):
    with pytest.raises(Refused, match="no whole number of seconds"):
        timing_of(schedule(timedelta(seconds=seconds), app=APP), at=AT)


class Holidays(crontab):
    """A schedule of the user's own."""

    def is_due(self, last_run_at):
        return False, 3600


@pytest.mark.parametrize(
    "own, words",
    [
        (solar.__new__(solar), "solar"),
        (Holidays(app=APP), "Holidays is no schedule that is understood"),
        (object(), "builtins.object"),
    ],
)
def test_a_schedule_of_another_kind_is_refused_by_its_name(own, words):
    with pytest.raises(Refused, match=words):
        timing_of(own, at=AT)


def test_a_zone_that_the_application_does_not_have_is_refused() -> None:
    nowhere = app_in("Nowhere/Zone")

    for beat_schedule in (crontab(app=nowhere), schedule(3600, relative=True, app=nowhere)):
        with pytest.raises(Refused, match="time zone of its application cannot be read"):
            timing_of(beat_schedule, at=AT)
