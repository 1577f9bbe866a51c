"""A pause that ends: who sets its end, and the resume when it has come."""

from datetime import datetime

import pytest
from sqlalchemy import select

from jobs_app.core.errors import InvalidInput
from jobs_app.core.states import JobState
from jobs_app.db.engine import Database
from jobs_app.db.models.accounts import AuditEvent
from jobs_app.db.models.jobs import Job
from jobs_app.jobs import explain, pause_end, service
from jobs_app.jobs.explain_when import When
from tests.factories import HOUR, MINUTE, NOON, SECOND, make_job, record, runs_of

END = NOON + 90 * MINUTE


def pause(
    database: Database, job: Job, *, until: datetime | None, at: datetime = NOON, by: str = "ann"
) -> Job:
    with database.session() as session:
        return service.pause(session, job, reason="moving", by=by, at=at, until=until)


def stored_job(database: Database, name: str) -> Job:
    with database.reading() as session:
        return service.get(session, name)


def end_pauses(database: Database, *, at: datetime) -> list[int]:
    """Resume the jobs whose pauses have ended, as the janitor does."""
    with database.reading() as session:
        ended = pause_end.ended_pauses(session, at=at)
    for job_id in ended:
        with database.session() as session:
            assert pause_end.end_pause(session, job_id, at=at) is not None
    return ended


def test_a_job_is_resumed_when_its_pause_ends_and_not_earlier(database: Database) -> None:
    job = make_job(database, at=NOON, cron="0 * * * *")
    pause(database, job, until=END)
    pause(database, make_job(database), until=None)

    assert end_pauses(database, at=END - SECOND) == []
    assert end_pauses(database, at=END + SECOND) == [job.id]

    resumed = stored_job(database, job.name)
    assert (resumed.state, resumed.next_fire_at) == (JobState.ACTIVE, NOON + 2 * HOUR)
    assert (resumed.paused_at, resumed.paused_until, resumed.version) == (None, None, 3)
    assert runs_of(database, job) == []
    with database.reading() as session:
        events = session.scalars(select(AuditEvent).where(AuditEvent.job_id == job.id))
        (event,) = (event for event in events if event.action == "resume")
    assert (event.actor, event.at) == ("jobs-app", END + SECOND)
    assert event.detail == {"on_missed": "skip", "until": "2026-06-15T13:30:00Z"}


def test_a_fire_after_the_end_of_a_pause_is_late_if_the_resume_is(database: Database) -> None:
    job = make_job(database, at=NOON, cron="0 * * * *")
    pause(database, job, until=END)

    end_pauses(database, at=NOON + 2 * HOUR + SECOND)
    record(database, job, at=NOON + 2 * HOUR + 2 * SECOND)

    (run,) = runs_of(database, job)
    assert (run.scheduled_for, run.state) == (NOON + 2 * HOUR, "queued")


def test_a_later_end_takes_the_place_of_an_earlier_one(database: Database) -> None:
    job = make_job(database, at=NOON)
    pause(database, job, until=None)
    pause(database, job, until=NOON + HOUR, by="bob")
    changed = pause(database, job, until=END, by="cleo")

    pause(database, job, until=None)
    same = stored_job(database, job.name)
    assert (changed.paused_until, same.paused_until, same.version) == (END, END, 4)
    assert (same.paused_by, same.paused_reason, same.paused_at) == ("ann", "moving", NOON)
    with database.session() as session:
        assert pause_end.end_pause(session, job.id, at=NOON + HOUR) is None


def test_a_pause_cannot_end_in_the_past(database: Database) -> None:
    job = make_job(database, at=NOON)

    with pytest.raises(InvalidInput, match="in the future") as raised:
        pause(database, job, until=NOON)

    assert [error.pointer for error in raised.value.errors] == ["/until"]
    assert stored_job(database, job.name).state is JobState.ACTIVE


@pytest.mark.parametrize("to_remove", [True, False])
def test_a_pause_that_is_over_already_is_not_ended_again(
    database: Database, to_remove: bool
) -> None:
    job = make_job(database, at=NOON)
    pause(database, job, until=END)
    with database.session() as session:
        if to_remove:
            service.remove(session, job, version=None, by="bob", at=NOON)
        else:
            service.resume(session, job, by="bob", at=NOON)

    with database.session() as session:
        assert pause_end.end_pause(session, job.id, at=END) is None
    assert end_pauses(database, at=END) == []


def test_the_next_fires_of_a_paused_job_are_those_after_its_pause(database: Database) -> None:
    job = pause(database, make_job(database, at=NOON, cron="0 * * * *"), until=END)
    other = pause(database, make_job(database), until=None)

    fires = service.next_fires(job, after=NOON, count=2)

    assert [fire.at for fire in fires] == [NOON + 2 * HOUR, NOON + 3 * HOUR]
    assert service.next_fires(other, after=NOON, count=2) == []


def sentence(database: Database, job: Job, instant: datetime, *, at: datetime) -> str:
    with database.reading() as session:
        return explain.explain(session, job.name, When(instant), at=at).sentence


def test_explain_says_until_when_a_job_is_paused(database: Database) -> None:
    job = make_job(database, at=NOON, cron="0 * * * *")
    pause(database, job, until=END)
    at = NOON + MINUTE

    during = sentence(database, job, NOON + HOUR, at=at)
    after = sentence(database, job, NOON + 2 * HOUR, at=at)
    end_pauses(database, at=NOON + 4 * HOUR)
    later = sentence(database, job, NOON + HOUR, at=NOON + 4 * HOUR)
    resumed_late = sentence(database, job, NOON + 3 * HOUR, at=NOON + 4 * HOUR)

    assert "paused since 2026-06-15 12:00" in during
    assert "until 2026-06-15 13:30" in during
    assert after.startswith("It will run at 2026-06-15 14:00")
    assert "was paused from 2026-06-15 12:00" in later
    assert "until 2026-06-15 13:30 UTC by jobs-app" in later
    assert "paused" not in resumed_late
