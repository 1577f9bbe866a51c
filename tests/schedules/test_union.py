"""Several schedules fire as one: at the instants of each, and once where they share one."""

from dataclasses import replace
from datetime import datetime, timedelta
from itertools import islice, pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs_app.schedules import schedule as single
from jobs_app.schedules import union as several
from jobs_app.schedules.schedule import Schedule
from jobs_app.schedules.union import (
    Schedules,
    causes,
    count_fires,
    due_at,
    fires,
    fires_on_start,
    names_local_time,
    next_fire,
    parts_of,
    preview,
    previous_fire,
    union,
    with_starts,
)
from tests.profiles import examples
from tests.schedules.examples import DAY, HOUR, NEW_YORK, NOW, SECOND, TICK, cron, crons, nights

MINUTE = timedelta(minutes=1)

intervals = st.builds(
    Schedule,
    interval_seconds=st.sampled_from([900, 1800, 3600, 5400]),
    anchor_at=st.sampled_from([NOW, NOW + 15 * MINUTE]),
)


@st.composite
def unions(draw: st.DrawFn) -> tuple[Schedules, datetime]:
    """Return up to four schedules, some in the zone of a clock change, and a moment before it."""
    zone, night = draw(nights())
    one_of_zone = crons.map(lambda expression: cron(expression, zone))
    windowed = one_of_zone.map(
        lambda schedule: Schedule(
            cron=schedule.cron, timezone=zone, start_at=night + HOUR, end_at=night + DAY
        )
    )
    once = st.just(Schedule(at=night + 2 * HOUR))
    kinds = [one_of_zone, windowed, crons.map(cron), intervals, once]
    return Schedules(tuple(draw(st.lists(st.one_of(kinds), min_size=2, max_size=4)))), night


@settings(max_examples=examples(40), deadline=None)
@given(unions())
def test_a_union_has_each_fire_of_its_schedules_once(example):
    schedule, after = example
    until = after + 2 * DAY
    expected = sorted(
        {fire for part in schedule.parts for fire in single.fires(part, after=after, until=until)}
    )

    actual = list(fires(schedule, after=after, until=until))

    assert actual == expected
    assert count_fires(schedule, after=after, until=until) == len(expected)
    assert [fire.at for fire in preview(schedule, after=after, count=9999, until=until)] == expected


@settings(max_examples=examples(40), deadline=None)
@given(unions())
def test_the_next_and_the_previous_fire_lead_through_the_same_fires(example):
    schedule, after = example
    expected = list(fires(schedule, after=after, until=after + DAY))

    ahead, back = [], []
    at = after
    while (fire := next_fire(schedule, after=at)) is not None and fire <= after + DAY:
        ahead.append(fire)
        at = fire
    at = after + DAY + TICK
    while (fire := previous_fire(schedule, before=at)) is not None and fire > after:
        back.append(fire)
        at = fire

    assert ahead == back[::-1] == expected
    for fire in expected:
        firing = [schedule.parts[index] for index in causes(schedule, fire)]
        assert firing
        assert all(single.previous_fire(part, before=fire + TICK) == fire for part in firing)


def test_a_long_span_is_counted_without_listing_its_fires(monkeypatch):
    monkeypatch.setattr(several, "MAX_COMPARED", 100)
    schedule = Schedules((cron("*/2 * * * *"), cron("1-59/2 * * * *")))

    assert count_fires(schedule, after=NOW, until=NOW + 100 * DAY) == 100 * 24 * 60


def test_a_count_grows_with_each_fire(monkeypatch):
    # An explanation of a long outage relies on it: a later fire has a higher count.
    monkeypatch.setattr(several, "MAX_COMPARED", 5)
    schedule = Schedules((cron("*/2 * * * *"), cron("*/3 * * * *")))
    all_fires = list(fires(schedule, after=NOW, until=NOW + HOUR))

    counts = [count_fires(schedule, after=NOW, until=fire) for fire in all_fires]

    assert counts[:4] == [1, 2, 3, 4]
    assert all(counts[n] < counts[n + 1] for n in range(len(counts) - 1))


def test_a_shared_fire_has_the_shortest_jitter_of_its_schedules():
    hourly = Schedule(cron="0 * * * *", jitter_seconds=600, seed="a")
    noon = Schedule(cron="0 12 * * *", jitter_seconds=60, seed="a")
    plain = Schedule(cron="30 * * * *", seed="a")
    schedule = Schedules((hourly, noon, plain))
    eleven, twelve, half_past = NOW - HOUR, NOW, NOW + 30 * MINUTE

    assert due_at(schedule, eleven) == single.due_at(hourly, eleven)
    assert due_at(schedule, twelve) == single.due_at(noon, twelve) <= twelve + MINUTE
    assert due_at(schedule, half_past) == half_past
    assert schedule.jitter_seconds == 600


@settings(max_examples=examples(30), deadline=None)
@given(unions(), st.lists(st.sampled_from([0, 30, 600, 7200]), min_size=4, max_size=4))
def test_a_jitter_never_puts_a_fire_behind_the_next_one(example, jitters):
    schedule, after = example
    parts = zip(schedule.parts, jitters, strict=False)
    spread = Schedules(tuple(replace(part, jitter_seconds=jitter) for part, jitter in parts))
    instants = list(islice(fires(spread, after=after), 20))

    for fire, following in pairwise(instants):
        # A later fire would wait for it, and be late.
        assert fire <= due_at(spread, fire) <= following
        assert due_at(spread, fire) <= fire + timedelta(seconds=spread.jitter_seconds)


def test_a_fire_of_no_schedule_has_the_shortest_jitter():
    schedule = Schedules(
        (cron("0 * * * *", seed="a"), Schedule(cron="5 * * * *", jitter_seconds=9))
    )

    assert due_at(schedule, NOW + 17 * MINUTE) == NOW + 17 * MINUTE


def test_a_preview_marks_the_gap_of_each_schedule_in_the_zone_of_the_first():
    before = datetime.fromisoformat("2026-03-08T05:00:00+00:00")
    schedule = Schedules((cron("0 5 * * *", "UTC"), cron("30 2 * * *", NEW_YORK)))

    listed = preview(schedule, after=before - SECOND, count=2)

    assert [(f"{fire.local:%H:%M %Z}", fire.dst) for fire in listed] == [
        ("05:00 UTC", None),
        ("07:00 UTC", "gap"),
    ]


def test_a_preview_marks_a_time_that_the_zone_of_the_first_shows_twice():
    before = datetime.fromisoformat("2026-11-01T05:20:00+00:00")
    schedule = Schedules((cron("30 1 * * *", NEW_YORK), cron("0 6 * * *", "UTC")))

    listed = preview(schedule, after=before, count=2)

    assert [(f"{fire.local:%H:%M %Z}", fire.dst) for fire in listed] == [
        ("01:30 EDT", "repeat"),
        ("01:00 EST", "repeat"),
    ]


def test_a_local_time_is_named_by_a_schedule_in_the_zone_of_the_first():
    local = datetime.fromisoformat("2026-03-08T02:30:00")
    in_new_york, in_paris = cron("30 2 * * *", NEW_YORK), cron("30 2 * * *", "Europe/Paris")
    hourly = cron("5 * * * *", NEW_YORK)

    assert names_local_time(Schedules((hourly, in_new_york)), local)
    assert not names_local_time(Schedules((hourly, in_paris)), local)


def test_a_union_of_one_is_that_schedule():
    schedule = cron("0 * * * *")

    assert union([]) is None
    assert union([schedule]) is schedule
    assert parts_of(None) == ()
    assert parts_of(schedule) == (schedule,)
    with pytest.raises(ValueError, match="one schedule"):
        Schedules((schedule,))


def test_a_schedule_on_start_has_the_fires_of_the_starts_that_there_were():
    noon = datetime.fromisoformat("2026-06-15T12:00:00+00:00")
    starts = [noon, noon + timedelta(hours=5)]
    on_start = Schedule(on="start", timezone=NEW_YORK)
    both = Schedules((cron("0 3 * * *", "UTC"), on_start))

    assert fires_on_start(both)
    assert not fires_on_start(cron("0 3 * * *"))
    assert next_fire(on_start, after=noon - timedelta(days=9)) is None
    assert previous_fire(on_start, before=noon) is None
    assert count_fires(on_start, after=noon - timedelta(days=9), until=noon) == 0
    assert with_starts(on_start, []) is on_start
    assert with_starts(cron("0 3 * * *"), starts) == cron("0 3 * * *")
    until = noon + timedelta(days=1)
    assert list(fires(with_starts(on_start, starts), after=starts[0], until=until)) == starts[1:]
    known = with_starts(both, starts)
    assert list(fires(known, after=noon - timedelta(hours=10), until=until)) == [
        noon - timedelta(hours=9),
        *starts,
        noon + timedelta(hours=15),
    ]


def test_the_start_of_several_schedules_is_one_fire_with_the_spread_of_its_own():
    noon = datetime.fromisoformat("2026-06-15T12:00:00+00:00")
    spread = Schedule(on="start", jitter_seconds=600, seed="a")
    both = Schedules((cron("0 3 * * *", "UTC"), spread))

    assert due_at(with_starts(both, [noon]), noon) == due_at(spread, noon) > noon
