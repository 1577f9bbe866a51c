"""The sentence for each thing that can become of an instant, as a table."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from jobs_app.core.policies import FirePolicy
from jobs_app.core.states import CatchupPolicy, OverlapPolicy, RunState, Trigger
from jobs_app.jobs.explain_context import (
    ExplainedRun,
    FireContext,
    JobRules,
    Pause,
    QueueWorkers,
    Verdict,
)
from jobs_app.jobs.explain_text import explain_fire
from jobs_app.schedules import schedule as schedules
from jobs_app.schedules.schedule import Schedule
from tests.factories import DAY, HOUR, MINUTE, NOON, SECOND

X = UUID("019d0000-0000-7000-8000-000000000001")
Y = UUID("019d0000-0000-7000-8000-000000000002")
HOURLY = JobRules(Schedule(cron="0 * * * *"))
RUN = ExplainedRun(
    X, RunState.SUCCEEDED, Trigger.SCHEDULE, NOON, scheduled_for=NOON, started_at=NOON
)
QUEUED = replace(RUN, state=RunState.QUEUED, started_at=None)
ENDED = replace(RUN, finished_at=NOON + 3 * SECOND)
OTHER = replace(RUN, id=Y, started_at=NOON - HOUR, finished_at=NOON + MINUTE)


def context(**given: object) -> FireContext:
    """Return what is known of an hourly job about noon, a day later."""
    (fire,) = schedules.preview(Schedule(cron="0 * * * *"), after=NOON - SECOND, count=1)
    known = {
        "at": NOON + DAY,
        "instant": NOON,
        "rules": HOURLY,
        "created_at": NOON - DAY,
        "fire": fire,
    }
    # The keywords are of mixed types.
    return FireContext(**(known | given))  # type: ignore[arg-type]


def hourly(**policy: Any) -> JobRules:
    return replace(HOURLY, policy=FirePolicy(**policy))


def missed(reason: str, **given: object) -> ExplainedRun:
    late = {"created_at": NOON + 3 * HOUR, "started_at": None, "finished_at": NOON + 3 * HOUR}
    # The keywords are of mixed types.
    return replace(RUN, state=RunState.MISSED, reason=reason, **(late | given))  # type: ignore[arg-type]


LATER = replace(RUN, id=Y, scheduled_for=NOON + 3 * HOUR)
PAUSE = Pause(NOON - HOUR, "ann", "Disk full.")

TABLE = [
    (
        {"run": ENDED},
        "ran",
        f"It ran on time: run {X} started at 2026-06-15 12:00 UTC and succeeded after 3 s.",
    ),
    (
        {"run": replace(ENDED, started_at=NOON + 125 * SECOND, finished_at=NOON + 126 * SECOND)},
        "ran",
        f"It ran 2 min 5 s late: run {X} started at 2026-06-15 12:02:05 UTC"
        " and succeeded after 1 s.",
    ),
    (
        {
            "run": replace(
                ENDED,
                trigger=Trigger.CATCHUP,
                started_at=NOON + HOUR,
                finished_at=NOON + HOUR,
                state=RunState.FAILED,
                exit_code=3,
            )
        },
        "ran",
        f"It was caught up with, 1 h late: run {X} started at 2026-06-15 13:00 UTC"
        " and failed after 0 s with exit code 3.",
    ),
    (
        {"run": replace(ENDED, state=RunState.FAILED, error="No such host.\nTraceback")},
        "ran",
        f"It ran on time: run {X} started at 2026-06-15 12:00 UTC and failed after 3 s:"
        " No such host.",
    ),
    (
        {"run": replace(ENDED, state=RunState.CANCELLED, cancelled_by="ann")},
        "ran",
        f"It ran on time: run {X} started at 2026-06-15 12:00 UTC"
        " and was cancelled after 3 s by ann.",
    ),
    (
        {"run": replace(ENDED, state=RunState.SUCCEEDED, cancelled_by="ann")},
        "ran",
        f"It ran on time: run {X} started at 2026-06-15 12:00 UTC, was asked to end by ann,"
        " and succeeded after 3 s.",
    ),
    (
        {"run": replace(RUN, state=RunState.RUNNING, cancelled_by="ann")},
        "ran",
        f"It ran on time: run {X} started at 2026-06-15 12:00 UTC, was asked to end by ann,"
        " and is still running.",
    ),
    (
        {"run": replace(RUN, state=RunState.RUNNING)},
        "ran",
        f"It ran on time: run {X} started at 2026-06-15 12:00 UTC and is still running.",
    ),
    (
        {"run": replace(RUN, state=RunState.RETRYING, not_before=NOON + MINUTE)},
        "ran",
        f"It ran on time: run {X} started at 2026-06-15 12:00 UTC and failed in attempt 1;"
        " the next one is due at 2026-06-15 12:01 UTC.",
    ),
    (
        {"run": replace(RUN, state=RunState.QUEUED, started_at=None, attempt=2)},
        "ran",
        f"It ran: run {X} failed before and is queued for attempt 2.",
    ),
    (
        {
            "run": QUEUED,
            "queue_workers": QueueWorkers(0, 0, 0),
        },
        "will_run",
        f"It is queued as run {X} since 2026-06-15 12:00 UTC and has not started:"
        " no worker serves the queue 'default'.",
    ),
    (
        {
            "run": QUEUED,
            "queue_workers": QueueWorkers(2, 4, 4),
        },
        "will_run",
        f"It is queued as run {X} since 2026-06-15 12:00 UTC and has not started:"
        " the workers of the queue 'default' are busy with 4 other runs.",
    ),
    (
        {
            "run": replace(
                RUN,
                state=RunState.QUEUED,
                started_at=None,
                concurrency_key="db-main",
                concurrency_limit=2,
            ),
            "queue_workers": QueueWorkers(2, 4, 2, same_key=2),
        },
        "will_run",
        f"It is queued as run {X} since 2026-06-15 12:00 UTC and has not started:"
        " 2 of 2 runs with the concurrency key 'db-main' are running.",
    ),
    (
        {
            "run": QUEUED,
            "queue_workers": QueueWorkers(2, 4, 3),
        },
        "will_run",
        f"It is queued as run {X} since 2026-06-15 12:00 UTC and has not started:"
        " a worker is about to take it.",
    ),
    (
        {
            "run": replace(RUN, state=RunState.WAITING, started_at=None),
            "other": OTHER,
            "rules": hourly(overlap_policy=OverlapPolicy.BUFFER_ONE),
        },
        "will_run",
        f"It waits as run {X} behind run {Y}, which has not ended (overlap_policy is buffer_one).",
    ),
    (
        {
            "run": replace(
                ENDED,
                state=RunState.CANCELLED,
                started_at=None,
                cancelled_by="ann",
                reason="job_deleted",
            )
        },
        "cancelled",
        f"Run {X} was cancelled at 2026-06-15 12:00:03 UTC by ann when the job was deleted,"
        " before it started.",
    ),
    (
        {"run": replace(RUN, state=RunState.SKIPPED, reason="overlap"), "other": OTHER},
        "skipped",
        f"It was skipped: run {Y} had not ended, it ran from 2026-06-15 11:00 UTC"
        " to 2026-06-15 12:01 UTC (overlap_policy is skip).",
    ),
    (
        {"run": replace(RUN, state=RunState.SKIPPED, reason="superseded")},
        "skipped",
        "It was skipped: a newer fire took its place while it waited.",
    ),
    (
        {"run": missed("scheduler_down")},
        "missed",
        "It was missed: no scheduler was running within its deadline of 1 min;"
        " a scheduler looked only at 2026-06-15 15:00 UTC, 3 h after the fire.",
    ),
    (
        {"run": missed("deadline")},
        "missed",
        "It was missed: a scheduler looked only at 2026-06-15 15:00 UTC, 3 h after the fire,"
        " later than the deadline of 1 min, with nothing to be caught up.",
    ),
    (
        {"run": missed("catchup_last"), "other": LATER},
        "missed",
        "It was missed: a scheduler looked only at 2026-06-15 15:00 UTC, 3 h after the fire,"
        " and catchup_policy last runs only the newest fire,"
        f" that of 2026-06-15 15:00 UTC (run {Y}).",
    ),
    (
        {
            "run": missed("catchup_limit"),
            "rules": hourly(catchup_policy=CatchupPolicy.ALL, catchup_max_runs=2),
        },
        "missed",
        "It was missed: a scheduler looked only at 2026-06-15 15:00 UTC, 3 h after the fire,"
        " and catchup_max_runs allows the newest 2 fires only.",
    ),
    (
        {"run": missed("catchup_window"), "rules": hourly(catchup_window_seconds=7200)},
        "missed",
        "It was missed: a scheduler looked only at 2026-06-15 15:00 UTC, 3 h after the fire,"
        " and catchup_window_seconds reaches back 2 h only.",
    ),
    (
        {"run": missed("outage_folded", fires=1341)},
        "missed",
        "It was missed: a scheduler looked only at 2026-06-15 15:00 UTC, 3 h after the fire;"
        f" run {X} stands for 1,341 fires of that outage.",
    ),
    (
        {"created_at": NOON, "created_by": "ann"},
        "not_yet_created",
        "The job did not exist yet: it was created at 2026-06-15 12:00 UTC by ann.",
    ),
    (
        {"deleted_at": NOON - SECOND, "deleted_by": "bob"},
        "deleted",
        "The job was deleted at 2026-06-15 11:59:59 UTC by bob.",
    ),
    (
        {"pause": PAUSE, "pause_now": PAUSE},
        "paused",
        "The job is paused since 2026-06-15 11:00 UTC by ann (Disk full):"
        " nothing fires until it is resumed.",
    ),
    (
        {"pause": replace(PAUSE, until=NOON + HOUR, resumed_by="bob")},
        "paused",
        "The job was paused from 2026-06-15 11:00 UTC by ann (Disk full)"
        " until 2026-06-15 13:00 UTC by bob.",
    ),
    (
        {"at": NOON - HOUR, "pause_now": PAUSE},
        "paused",
        "The job is paused since 2026-06-15 11:00 UTC by ann (Disk full):"
        " nothing fires until it is resumed.",
    ),
    ({"at": NOON - HOUR}, "will_run", "It will run at 2026-06-15 12:00 UTC."),
    (
        {"at": NOON - HOUR, "is_over": True, "max_runs": 5},
        "ended",
        "The job will have ended: max_runs allows 5 runs, and they come earlier.",
    ),
    ({"is_over": True}, "ended", "The job had ended: its schedule is over by then."),
    (
        {"at": NOON + SECOND},
        "unrecorded",
        "It is due just now: a scheduler is about to record it.",
    ),
    (
        {"ticked_at": NOON - MINUTE},
        "unrecorded",
        "It came due, and nothing is on record of it:"
        " no scheduler has looked since 2026-06-15 11:59 UTC.",
    ),
    (
        {"ticked_at": NOON + HOUR},
        "unrecorded",
        "It came due, and nothing is on record of it:"
        " it is older than the history that is kept, or the job changed in that moment.",
    ),
    (
        {"pruned_until": NOON, "is_over": True},
        "forgotten",
        "It came due, and its record is no longer kept:"
        " retention has deleted runs of this job up to that of 2026-06-15 12:00 UTC.",
    ),
    (
        {"pruned_until": NOON - HOUR, "ticked_at": NOON - MINUTE},
        "unrecorded",
        "It came due, and nothing is on record of it:"
        " no scheduler has looked since 2026-06-15 11:59 UTC.",
    ),
    (
        {"run": replace(missed("outage_folded", fires=48), scheduled_for=NOON - HOUR)},
        "missed",
        "It was missed: a scheduler looked only at 2026-06-15 15:00 UTC, 3 h after the fire;"
        f" run {X} stands for 48 fires of that outage.",
    ),
    (
        {
            "rules": hourly(overlap_policy=OverlapPolicy.CANCEL_OTHER),
            "run": replace(
                ENDED, state=RunState.CANCELLED, cancelled_by="jobs-app", reason="superseded"
            ),
        },
        "ran",
        f"It ran on time: run {X} started at 2026-06-15 12:00 UTC and was cancelled after 3 s:"
        " a newer run took its place (overlap_policy is cancel_other).",
    ),
    (
        {"at": NOON - HOUR, "is_over": None, "max_runs": 1_000_000},
        "unknown",
        "Whether it will run cannot be said so far ahead: more fires come before it than are"
        " counted, and max_runs allows 1,000,000 runs.",
    ),
    (
        {"rules": JobRules(None), "fire": None, "by_hand": replace(RUN, triggered_by="ann")},
        "not_a_fire",
        "The job has no schedule: it runs only when it is started."
        f" Run {X} was started by hand at 2026-06-15 12:00 UTC by ann.",
    ),
    (
        {"rules": JobRules(None), "fire": None, "has_runs": False},
        "not_a_fire",
        "The job has no schedule: it runs only when it is started. No run of it is on record.",
    ),
    (
        {"rules": replace(HOURLY, is_present=False), "fire": None, "instant": NOON + MINUTE},
        "not_a_fire",
        "2026-06-15 12:01 UTC is not a fire of the schedule, as it was then:"
        " At the start of every hour, UTC.",
    ),
    (
        {"run": replace(RUN, state=RunState.OBSERVED), "watched_since": NOON - HOUR},
        "observed",
        "It was observed at 2026-06-15 12:00 UTC, and not run:"
        " the job only watched since 2026-06-15 11:00 UTC.",
    ),
    (
        {"rules": replace(HOURLY, observes=True), "at": NOON - MINUTE, "watched_by": "ann"},
        "observed",
        "It will be observed at 2026-06-15 12:00 UTC, and not run: the job only watches by ann.",
    ),
]


@pytest.mark.parametrize("given, verdict, sentence", TABLE)
def test_the_sentence(given: dict[str, object], verdict: str, sentence: str) -> None:
    assert explain_fire(context(**given)) == (verdict, sentence)


@pytest.mark.parametrize(
    "reason, why",
    [
        ("The worker was stopped.", "the worker was stopped"),
        ("The worker stopped without a word.", "the worker stopped without a word"),
        ("fenced", "its worker vanished"),
        (None, "its worker vanished"),
    ],
)
def test_a_lost_run_is_explained_by_its_reason(reason: str | None, why: str) -> None:
    lost = replace(ENDED, state=RunState.LOST, reason=reason)

    _, sentence = explain_fire(context(run=lost))

    assert sentence.endswith(f"was lost after 3 s: {why}.")


def test_every_verdict_has_its_sentence() -> None:
    assert {verdict for _, verdict, _ in TABLE} == {str(each) for each in Verdict}


def test_a_jittered_fire_that_starts_when_it_is_due_is_on_time() -> None:
    jittered = Schedule(cron="0 * * * *", jitter_seconds=600, seed="a")
    due_at = schedules.due_at(jittered, NOON)
    run = replace(ENDED, started_at=due_at, finished_at=due_at)

    _, sentence = explain_fire(context(rules=JobRules(jittered), run=run))
    _, ahead = explain_fire(context(rules=JobRules(jittered), at=NOON - DAY / 2))

    assert due_at > NOON + MINUTE
    assert sentence.startswith("It ran on time")
    assert "put off by its jitter to 2026-06-15 12:0" in ahead


NEW_YORK = "America/New_York"


def at_clock(cron: str, instant: datetime, asked: datetime | None = None) -> str:
    """Return the sentence on an instant to come of a job in New York."""
    schedule = Schedule(cron=cron, timezone=NEW_YORK)
    tick = timedelta(microseconds=1)
    found = schedules.preview(schedule, after=instant - tick, count=1)
    is_fire = found[0].at == instant
    known = FireContext(
        at=datetime(2026, 1, 1, tzinfo=UTC),
        instant=instant,
        rules=JobRules(schedule),
        created_at=datetime(2025, 1, 1, tzinfo=UTC),
        asked=asked,
        fire=found[0] if is_fire else None,
    )
    return explain_fire(known)[1]


def test_a_skipped_time_is_said_to_fire_after_the_gap() -> None:
    end_of_gap = datetime(2026, 3, 8, 7, 0, tzinfo=UTC)

    # A naive instant is what the test is about.
    sentence = at_clock("30 2 * * *", end_of_gap, datetime(2026, 3, 8, 2, 30))  # noqa: DTZ001

    assert sentence == (
        "02:30 does not exist on 2026-03-08 in America/New_York: the clock goes from 02:00 to"
        " 03:00, and the fire comes at 03:00. It will run at 2026-03-08 03:00 EDT."
    )


def test_the_end_of_a_gap_says_what_it_stands_for() -> None:
    sentence = at_clock("30 2 * * *", datetime(2026, 3, 8, 7, 0, tzinfo=UTC))

    assert sentence == (
        "This fire stands for a time that the clock skips that day."
        " It will run at 2026-03-08 03:00 EDT."
    )


@pytest.mark.parametrize(
    "cron, hour, sentence",
    [
        (
            "30 1 * * *",
            5,
            "01:30 comes twice on 2026-11-01 in America/New_York, and it fires the first time"
            " only; this is the first. It will run at 2026-11-01 01:30 EDT.",
        ),
        (
            "30 1 * * *",
            6,
            "01:30 comes twice on 2026-11-01 in America/New_York, and it fires the first time"
            " only; this is the second. 2026-11-01 01:30 EST is not a fire of the schedule:"
            " At 01:30 every day, America/New_York time.",
        ),
        (
            "*/30 * * * *",
            6,
            "01:30 comes twice on 2026-11-01 in America/New_York; this is the second time."
            " It will run at 2026-11-01 01:30 EST.",
        ),
    ],
)
def test_a_time_that_comes_twice_says_which_it_is(cron: str, hour: int, sentence: str) -> None:
    assert at_clock(cron, datetime(2026, 11, 1, hour, 30, tzinfo=UTC)) == sentence
