"""The triggers of APScheduler fire here at the times at which it fires them."""

from dataclasses import fields
from datetime import UTC, date, datetime, timedelta
from itertools import islice
from typing import Any

import pytest

from jobs_app.jobs.importers.apscheduler_pickles import Stored, read_state
from jobs_app.jobs.importers.apscheduler_triggers import timing_of_trigger
from jobs_app.jobs.importers.drafts import Refused
from jobs_app.schedules import timezones
from jobs_app.schedules.schedule import Schedule
from jobs_app.schedules.union import fires, union
from tests.jobs.importers.apscheduler_states import TRIGGERS

AT = datetime(2026, 1, 1, tzinfo=UTC)
INSTANTS = {"anchor_at", "start_at", "end_at", "at"}
PARIS = timezones.load("Europe/Paris")


def schedule_of(trigger: object, next_run: datetime | None = None) -> dict[str, Any]:
    return schedules_of(trigger, next_run)[0]


def schedules_of(trigger: object, next_run: datetime | None = None) -> list[dict[str, Any]]:
    timing = timing_of_trigger(trigger, next_run, at=AT)
    return [{"timezone": timing.timezone or "UTC", **timing.schedule}, *timing.others]


def read(schedule: dict[str, Any]) -> Schedule:
    assert schedule.keys() <= {field.name for field in fields(Schedule)}
    values: dict[str, Any] = {
        name: datetime.fromisoformat(value) if name in INSTANTS else value
        for name, value in schedule.items()
    }
    return Schedule(**values)


@pytest.mark.parametrize(
    "state, expected",
    [(state, expected) for _, state, expected in TRIGGERS],
    ids=[words for words, *_ in TRIGGERS],
)
def test_a_trigger_has_the_fires_that_apscheduler_computes(
    state: bytes, expected: list[datetime]
) -> None:
    schedule = union([*map(read, schedules_of(read_state(state)["trigger"]))])
    assert schedule is not None

    # Its first fire may be the instant itself.
    after = AT - timedelta(microseconds=1)
    assert list(islice(fires(schedule, after=after), len(expected))) == expected


def stored(kind: str, **state: object) -> Stored:
    made = Stored()
    made.kind = kind
    made.state = {"timezone": PARIS, "start_date": None, "end_date": None, **state}
    return made


def expression(kind: str, **state: object) -> Stored:
    return stored(f"{kind}Expression", **state)


EVERY = expression("All", step=None)


def cron(**given: Stored) -> Stored:
    names = ("year", "month", "day", "week", "day_of_week", "hour", "minute", "second")
    whole_minute = {"second": expression("Range", first=0, last=0)}
    values = dict.fromkeys(names, EVERY) | whole_minute | given
    return stored(
        "CronTrigger",
        fields=[stored("Field", name=name, expressions=[values[name]]) for name in names],
        jitter=None,
    )


FIRST = expression("Range", first=1, last=1)


@pytest.mark.parametrize(
    "trigger, words",
    [
        (cron(year=FIRST), "names a year"),
        (cron(week=FIRST), "names a week"),
        (cron(second=FIRST), "at certain seconds"),
        (cron(second=expression("All", step=7)), "at certain seconds"),
        (cron(second=EVERY, hour=FIRST), "at certain seconds"),
        (cron(day=expression("LastDayOfMonth"), day_of_week=FIRST), "either of them"),
        (cron(day=expression("Range", first=13, last=13), day_of_week=FIRST), "either of them"),
        (cron(hour=expression("Lunar")), "LunarExpression is no expression of the field hour"),
        (cron(hour=expression("Range", first=0, last=10**15)), "not stored as APScheduler"),
        (cron(hour=expression("Range", first=5, last=3)), "not stored as APScheduler"),
        (stored("AndTrigger"), "AndTrigger is no trigger"),
        (stored("OrTrigger"), "not stored as APScheduler"),
        (stored("OrTrigger", triggers=[]), "All of its triggers have ended"),
        (
            stored("OrTrigger", triggers=[("apscheduler.triggers.date:DateTrigger", {})]),
            "a trigger DateTrigger, whose fires depend there on the others",
        ),
        (None, "NoneType is no trigger"),
        (stored("DateTrigger"), "not stored as APScheduler 3 does it"),
        (stored("IntervalTrigger", interval=timedelta(milliseconds=1500)), "no whole number"),
    ],
)
def test_a_trigger_without_the_same_fires_here_is_refused(trigger: object, words: str) -> None:
    with pytest.raises(Refused, match=words):
        schedule_of(trigger)


def test_each_second_is_an_interval_from_a_whole_minute() -> None:
    assert schedule_of(cron(second=expression("All", step=20))) == {
        "interval_seconds": 20,
        "anchor_at": "2000-01-01T00:00:00Z",
        "timezone": "Europe/Paris",
    }
    assert schedule_of(cron(second=EVERY))["interval_seconds"] == 1


def test_the_window_ends_behind_its_last_fire() -> None:
    later = AT + timedelta(days=1)
    trigger = cron(hour=FIRST, minute=FIRST)
    trigger.state |= {"start_date": later, "end_date": later, "jitter": 1.5}

    assert schedule_of(trigger) == {
        "cron": "1 1 * * *",
        "start_at": "2026-01-02T00:00:00Z",
        "end_at": "2026-01-02T00:00:01Z",
        "jitter_seconds": 2,
        "timezone": "Europe/Paris",
    }
    trigger.state |= {"start_date": AT - timedelta(days=1), "end_date": None, "jitter": None}
    assert "start_at" not in schedule_of(trigger)
    trigger.state["end_date"] = AT
    with pytest.raises(Refused, match="It has ended"):
        schedule_of(trigger)


def either(*triggers: Stored, **state: object) -> Stored:
    pairs = [(f"apscheduler.triggers.any:{one.kind}", one.state) for one in triggers]
    return stored("OrTrigger", triggers=pairs, **state)


def test_a_trigger_of_several_is_a_schedule_for_each_that_has_not_ended() -> None:
    ended, noon, monthly = cron(hour=FIRST), cron(minute=FIRST, hour=FIRST), cron(day=FIRST)
    ended.state["end_date"] = AT
    monthly.state["timezone"] = timezones.load("Asia/Tokyo")
    monthly.state["jitter"] = 5

    assert schedules_of(either(ended, noon, either(monthly), jitter=9)) == [
        {"cron": "1 1 * * *", "jitter_seconds": 9, "timezone": "Europe/Paris"},
        {"cron": "* * 1 * *", "jitter_seconds": 5, "timezone": "Asia/Tokyo"},
    ]
    assert len(schedules_of(either(noon))) == 1
    with pytest.raises(Refused, match="have ended"):
        schedules_of(either(ended))
    with pytest.raises(Refused, match="20 at most"):
        schedules_of(either(*[noon] * 21))


def test_an_interval_goes_on_from_a_run_that_was_moved() -> None:
    trigger = stored("IntervalTrigger", interval=timedelta(hours=1), start_date=AT, jitter=None)
    moved = AT + timedelta(minutes=90)

    assert schedule_of(trigger, AT + timedelta(hours=5))["anchor_at"] == "2026-01-01T00:00:00Z"
    assert schedule_of(trigger, moved)["anchor_at"] == "2026-01-01T01:30:00Z"


@pytest.mark.parametrize(
    "interval, start, expected",
    [
        ([0, 0, 2, 1], date(2026, 1, 5), "15 days"),
        ([1, 2, 0, 0], date(2026, 1, 28), "14 months"),
        ([0, 1, 0, 1], date(2026, 1, 5), "both months and days"),
        ([0, 1, 0, 0], date(2026, 1, 31), "without a day 31"),
    ],
)
def test_an_interval_of_the_calendar_has_one_unit(
    interval: list[int], start: date, expected: str
) -> None:
    trigger = stored(
        "CalendarIntervalTrigger", interval=interval, start_date=start, time=[9, 0, 0], jitter=None
    )
    if expected[0].isdigit():
        assert schedule_of(trigger)["every"] == expected
        return
    with pytest.raises(Refused, match=expected):
        schedule_of(trigger)
