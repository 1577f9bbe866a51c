"""The plan of a tick, as a table: which fires run, which are only put on record."""

from datetime import datetime, timedelta
from time import process_time

import pytest

from jobs_app.core.policies import FirePolicy
from jobs_app.core.states import CancelMode, CatchupPolicy, OverlapPolicy, RunState
from jobs_app.runs.planning import MAX_ROWS, Plan, PlanInput, overlap, plan
from jobs_app.schedules import schedule as schedules
from jobs_app.schedules.schedule import Schedule
from jobs_app.schedules.union import Schedules
from tests.factories import DAY, HOUR, MINUTE, NOON, SECOND

EVERY_MINUTE = Schedule(interval_seconds=60, anchor_at=NOON)


def facts(**given: object) -> PlanInput:
    names = given.keys() & set(FirePolicy.__slots__)
    # The keywords are of mixed types.
    policy = FirePolicy(**{name: given.pop(name) for name in names})  # type: ignore[arg-type]
    due = {"schedule": EVERY_MINUTE, "next_fire_at": NOON, "policy": policy}
    return PlanInput(**(due | given))  # type: ignore[arg-type]  # as said


def outcomes_of(planned: Plan) -> list[tuple[datetime, str, str | None]]:
    return [(row.scheduled_for, str(row.state), row.reason) for row in planned.runs]


def test_a_fire_that_is_not_due_is_left_alone() -> None:
    assert plan(facts(), at=NOON - SECOND) == Plan((), NOON)


def test_a_due_fire_is_queued_and_the_next_one_is_known() -> None:
    planned = plan(facts(), at=NOON)

    assert outcomes_of(planned) == [(NOON, "queued", None)]
    assert planned.next_fire_at == NOON + MINUTE


@pytest.mark.parametrize("late, reason", [(60, None), (61, "deadline")])
def test_the_starting_deadline_is_counted_in_whole(late: int, reason: str | None) -> None:
    given = facts(
        schedule=Schedule(cron="0 12 * * *"),
        catchup_policy=CatchupPolicy.NONE,
        starting_deadline_seconds=60,
    )

    (row,) = plan(given, at=NOON + late * SECOND).runs

    assert row.reason == reason


def test_without_catch_up_late_fires_are_missed() -> None:
    planned = plan(facts(catchup_policy=CatchupPolicy.NONE), at=NOON + 3 * MINUTE)

    assert outcomes_of(planned) == [
        (NOON, "missed", "deadline"),
        (NOON + MINUTE, "missed", "deadline"),
        (NOON + 2 * MINUTE, "queued", None),
        (NOON + 3 * MINUTE, "skipped", "overlap"),
    ]


def test_last_runs_only_the_newest_late_fire() -> None:
    hourly = Schedule(cron="0 * * * *")

    planned = plan(facts(schedule=hourly), at=NOON + 2 * HOUR + 30 * MINUTE)

    assert outcomes_of(planned) == [
        (NOON, "missed", "catchup_last"),
        (NOON + HOUR, "missed", "catchup_last"),
        (NOON + 2 * HOUR, "queued", None),
    ]
    assert planned.runs[-1].trigger == "catchup"


def test_last_is_needless_when_a_fire_comes_on_time() -> None:
    hourly = Schedule(cron="0 * * * *")

    planned = plan(facts(schedule=hourly), at=NOON + 2 * HOUR)

    assert outcomes_of(planned) == [
        (NOON, "missed", "catchup_last"),
        (NOON + HOUR, "missed", "catchup_last"),
        (NOON + 2 * HOUR, "queued", None),
    ]
    assert planned.runs[-1].trigger == "schedule"


def test_all_catches_up_within_its_window_and_number() -> None:
    given = facts(
        schedule=Schedule(cron="0 * * * *"),
        overlap_policy=OverlapPolicy.ALLOW_ALL,
        catchup_policy=CatchupPolicy.ALL,
        catchup_window_seconds=4 * 3600,
        catchup_max_runs=2,
    )

    planned = plan(given, at=NOON + 6 * HOUR + 30 * MINUTE)

    assert [reason for _, _, reason in outcomes_of(planned)] == [
        *["catchup_window"] * 3,
        *["catchup_limit"] * 2,
        None,
        None,
    ]


def test_a_long_outage_leaves_a_bounded_number_of_rows_that_count_every_fire() -> None:
    planned = plan(facts(), at=NOON + DAY)

    assert len(planned.runs) == MAX_ROWS
    assert planned.runs[0].reason == "outage_folded"
    assert sum(row.fires for row in planned.runs) == 24 * 60 + 1
    assert planned.next_fire_at == NOON + DAY + MINUTE


@pytest.mark.parametrize("policy", [p for p in OverlapPolicy if p is not OverlapPolicy.ALLOW_ALL])
@pytest.mark.parametrize("has_active, waiting", [(False, 0), (True, 0), (True, 2)])
def test_all_runs_every_late_fire_under_each_overlap_policy(
    policy: OverlapPolicy, has_active: bool, waiting: int
) -> None:
    given = facts(
        overlap_policy=policy,
        catchup_policy=CatchupPolicy.ALL,
        has_active=has_active,
        waiting=waiting,
    )

    # Three late fires, and two within the deadline.
    planned = plan(given, at=NOON + 4 * MINUTE)

    first = RunState.WAITING if has_active else RunState.QUEUED
    assert [row.state for row in planned.runs] == [first] + [RunState.WAITING] * 4
    assert (planned.cancel, planned.drop_waiting) == (None, False)


def test_a_single_fire_on_time_keeps_to_the_overlap_policy_beside_all() -> None:
    given = facts(catchup_policy=CatchupPolicy.ALL, has_active=True)

    planned = plan(given, at=NOON)

    assert outcomes_of(planned) == [(NOON, "skipped", "overlap")]


def test_of_several_fires_on_time_the_oldest_runs_under_skip() -> None:
    every_ten = Schedule(interval_seconds=10, anchor_at=NOON)

    planned = plan(facts(schedule=every_ten), at=NOON + 20 * SECOND)

    assert [row.state for row in planned.runs] == ["queued", "skipped", "skipped"]


def test_a_change_of_a_job_with_all_runs_the_fires_on_time_only() -> None:
    given = facts(catchup_policy=CatchupPolicy.ALL, catches_up=False)

    planned = plan(given, at=NOON + 3 * MINUTE)

    assert [str(row.state) for row in planned.runs] == ["missed", "missed", "queued", "waiting"]


YEAR = 365 * DAY


@pytest.mark.parametrize(
    "schedule, years",
    [
        (Schedule(interval_seconds=1, anchor_at=NOON), 30),
        (Schedule(interval_seconds=7, anchor_at=NOON), 60),
        (Schedule(cron="* * * * *", timezone="Europe/Paris"), 30),
        (Schedule(cron="*/7 9-17 * * 1-5", timezone="Australia/Lord_Howe"), 30),
    ],
)
def test_an_outage_of_many_years_takes_one_plan_and_no_time(schedule: Schedule, years: int) -> None:
    at = NOON + years * YEAR
    begin = process_time()

    planned = plan(facts(schedule=schedule), at=at)

    # Some 50 ms; one fire after the other would take minutes.
    assert process_time() - begin < 2
    assert len(planned.runs) == MAX_ROWS
    assert planned.next_fire_at == schedules.next_fire(schedule, after=at)
    first, *others = planned.runs
    assert (first.scheduled_for, first.reason) == (NOON, "outage_folded")
    newest = [row.scheduled_for for row in others]
    assert newest == list(schedules.fires(schedule, after=newest[0] - SECOND, until=at))
    before = newest[0] - timedelta(microseconds=1)
    assert first.fires == 1 + schedules.count_fires(schedule, after=NOON, until=before)


def test_the_number_of_fires_fits_its_column() -> None:
    every_second = Schedule(interval_seconds=1, anchor_at=NOON)

    planned = plan(facts(schedule=every_second), at=NOON + 100 * YEAR)

    assert planned.runs[0].fires == 2**31 - 1
    assert planned.next_fire_at == NOON + 100 * YEAR + SECOND


@pytest.mark.parametrize("minutes", [90, 110, 130, 250, 1500])
def test_an_outage_folds_no_fire_that_its_jitter_keeps_for_later(minutes: int) -> None:
    jittered = Schedule(cron="* * * * *", jitter_seconds=3600, seed="nightly")
    at = NOON + minutes * MINUTE

    planned = plan(facts(schedule=jittered), at=at)

    following = planned.next_fire_at
    assert following is not None
    assert schedules.due_at(jittered, following) > at
    fires = list(schedules.fires(jittered, after=NOON - SECOND, until=following))
    assert sum(row.fires for row in planned.runs) == len(fires) - 1
    assert all(schedules.due_at(jittered, fire) <= at for fire in fires[:-1])


@pytest.mark.parametrize(
    "policy, has_active, waiting, state, cancel",
    [
        (OverlapPolicy.SKIP, False, 0, RunState.QUEUED, None),
        (OverlapPolicy.SKIP, True, 0, RunState.SKIPPED, None),
        (OverlapPolicy.BUFFER_ONE, False, 0, RunState.QUEUED, None),
        (OverlapPolicy.BUFFER_ONE, True, 0, RunState.WAITING, None),
        (OverlapPolicy.BUFFER_ONE, True, 1, RunState.SKIPPED, None),
        (OverlapPolicy.BUFFER_ALL, True, 7, RunState.WAITING, None),
        (OverlapPolicy.CANCEL_OTHER, True, 0, RunState.WAITING, CancelMode.GRACEFUL),
        (OverlapPolicy.TERMINATE_OTHER, True, 1, RunState.WAITING, CancelMode.KILL),
        (OverlapPolicy.ALLOW_ALL, True, 3, RunState.QUEUED, None),
    ],
)
def test_overlap(
    policy: OverlapPolicy,
    has_active: bool,
    waiting: int,
    state: RunState,
    cancel: CancelMode | None,
) -> None:
    decision = overlap(policy, has_active, waiting)

    assert (decision.state, decision.cancel) == (state, cancel)


def test_only_the_newest_of_several_due_fires_waits_to_take_the_place_of_another() -> None:
    given = facts(overlap_policy=OverlapPolicy.CANCEL_OTHER, starting_deadline_seconds=3600)

    planned = plan(given, at=NOON + 2 * MINUTE)

    assert [state for _, state, _ in outcomes_of(planned)] == ["queued", "skipped", "waiting"]
    assert planned.cancel is CancelMode.GRACEFUL


def test_a_job_ends_with_its_last_allowed_run() -> None:
    planned = plan(facts(runs_left=1), at=NOON)

    assert outcomes_of(planned) == [(NOON, "queued", None)]
    assert planned.next_fire_at is None


def test_a_schedule_that_is_over_has_no_next_fire() -> None:
    planned = plan(facts(schedule=Schedule(at=NOON)), at=NOON)

    assert outcomes_of(planned) == [(NOON, "queued", None)]
    assert planned.next_fire_at is None


def test_jitter_delays_the_look_and_not_the_fire() -> None:
    jittered = Schedule(interval_seconds=60, anchor_at=NOON, jitter_seconds=30, seed="a")
    late = facts(schedule=jittered)

    planned = plan(late, at=NOON + 30 * SECOND)

    assert outcomes_of(planned) == [(NOON, "queued", None)]


# Several schedules


HOURLY_AND_HALF_HOURLY = Schedules((Schedule(cron="0 * * * *"), Schedule(cron="*/30 * * * *")))


def test_a_fire_that_two_schedules_share_is_one_run() -> None:
    planned = plan(facts(schedule=HOURLY_AND_HALF_HOURLY), at=NOON + 10 * MINUTE)

    assert [fire for fire, _, _ in outcomes_of(planned)] == [NOON]
    assert planned.next_fire_at == NOON + 30 * MINUTE


def test_a_catch_up_of_several_schedules_runs_each_fire_once() -> None:
    late = facts(
        schedule=HOURLY_AND_HALF_HOURLY,
        catchup_policy=CatchupPolicy.ALL,
        overlap_policy=OverlapPolicy.BUFFER_ALL,
    )

    planned = plan(late, at=NOON + 2 * HOUR + 10 * MINUTE)

    fires = [NOON + number * 30 * MINUTE for number in range(5)]
    states = ["queued", *["waiting"] * 4]
    assert outcomes_of(planned) == [
        (fire, state, None) for fire, state in zip(fires, states, strict=True)
    ]


def test_a_long_outage_of_several_schedules_is_folded() -> None:
    planned = plan(facts(schedule=HOURLY_AND_HALF_HOURLY), at=NOON + 10 * DAY + MINUTE)

    folded = planned.runs[0]
    assert len(planned.runs) == MAX_ROWS
    assert folded.scheduled_for == NOON
    assert folded.fires + len(planned.runs) - 1 == 10 * 48 + 1
    assert planned.next_fire_at == NOON + 10 * DAY + 30 * MINUTE


def test_a_fire_is_due_by_the_jitter_of_its_own_schedule() -> None:
    spread = Schedule(cron="30 12 * * *", jitter_seconds=3600, seed="a")
    schedule = Schedules((Schedule(cron="0 12 * * *", seed="a"), spread))
    due_at = schedules.due_at(spread, NOON + 30 * MINUTE)

    early = plan(facts(schedule=schedule), at=due_at - SECOND)
    late = plan(facts(schedule=schedule), at=due_at)

    assert due_at > NOON + 30 * MINUTE
    assert [fire for fire, _, _ in outcomes_of(early)] == [NOON]
    assert [fire for fire, _, _ in outcomes_of(late)] == [NOON, NOON + 30 * MINUTE]


@pytest.mark.parametrize("policy", list(OverlapPolicy))
def test_a_job_that_only_watches_starts_and_stops_nothing(policy: OverlapPolicy) -> None:
    given = facts(observes=True, overlap_policy=policy, has_active=True, waiting=1, runs_left=1)

    planned = plan(given, at=NOON + MINUTE)

    assert outcomes_of(planned) == [(NOON, "observed", None), (NOON + MINUTE, "observed", None)]
    assert (planned.cancel, planned.drop_waiting) == (None, False)
    assert planned.next_fire_at == NOON + 2 * MINUTE


def test_a_job_that_only_watches_misses_what_it_would_not_have_run() -> None:
    given = facts(observes=True, catchup_policy=CatchupPolicy.LAST)

    planned = plan(given, at=NOON + 3 * MINUTE + 50 * SECOND)
    late = plan(facts(schedule=Schedule(cron="0 12 * * *"), observes=True), at=NOON + 10 * MINUTE)

    assert [state for _, state, _ in outcomes_of(planned)] == ["missed"] * 3 + ["observed"]
    assert [(row.state, row.trigger) for row in late.runs] == [("observed", "catchup")]
