"""The definitions that a job has had: which are kept, with what, and for how long."""

from typing import Any

import pytest
from sqlalchemy import delete, select, update

from jobs_app.core.errors import NotFound
from jobs_app.db.engine import Database
from jobs_app.db.models.accounts import AuditEvent
from jobs_app.db.models.jobs import Job, JobRevision
from jobs_app.jobs import revisions, service
from tests.factories import HOUR, MINUTE, NOON, TASKS, definition, make_job


def change(database: Database, job: Job, *, restored: int | None = None, **values: Any) -> None:
    wanted = definition(**({"name": job.name} | values))
    with database.session() as session:
        service.change(
            session, job, wanted, version=None, app=TASKS, by="ann", at=NOON, restored=restored
        )


def kept(database: Database, job: Job) -> list[JobRevision]:
    """Return the revisions of *job* with their definitions, oldest first."""
    of_job = select(JobRevision).where(JobRevision.job_id == job.id)
    with database.session() as session:
        return list(session.scalars(of_job.order_by(JobRevision.number)))


def numbers(database: Database, job: Job) -> list[int]:
    return [revision.number for revision in kept(database, job)]


def test_each_definition_is_kept_with_its_version_and_author(database: Database) -> None:
    job = make_job(database, priority=1)

    change(database, job, priority=2)

    first, second = kept(database, job)
    assert (first.number, first.definition["priority"], first.changed) == (1, 1, [])
    assert (second.number, second.definition["priority"]) == (2, 2)
    assert (second.changed, second.by, second.at) == (["priority"], "ann", NOON)
    assert (second.via, second.note) == ("system", None)


def test_a_pause_and_a_save_of_the_same_are_no_revisions(database: Database) -> None:
    job = make_job(database)
    with database.session() as session:
        service.pause(session, job, reason=None, by="ann", at=NOON)
        service.resume(session, job, by="ann", at=NOON)
    change(database, job)

    change(database, job, priority=2)

    assert numbers(database, job) == [1, 5]


def test_a_job_that_is_older_than_its_history_keeps_the_state_before_its_change(
    database: Database,
) -> None:
    job = make_job(database, priority=1, at=NOON - HOUR)
    with database.session() as session, session.begin():
        session.execute(delete(JobRevision))

    change(database, job, priority=2)

    before, after = kept(database, job)
    assert (before.number, before.definition["priority"]) == (1, 1)
    assert (before.by, before.at, before.note) == (
        None,
        NOON - HOUR,
        revisions.NOTE_OF_STATE_BEFORE,
    )
    assert (after.number, after.changed) == (2, ["priority"])


def test_a_change_by_a_version_without_history_is_kept_at_the_next_one(database: Database) -> None:
    job = make_job(database, priority=1)
    with database.session() as session, session.begin():
        session.execute(update(Job).values(priority=5, version=2))

    change(database, job, priority=7)

    assert [(item.number, item.definition["priority"]) for item in kept(database, job)] == [
        (1, 1),
        (2, 5),
        (3, 7),
    ]


def test_a_literal_secret_is_masked_and_its_change_is_a_revision(database: Database) -> None:
    def shell(password: str) -> dict[str, Any]:
        return {"task": "shell", "kwargs": {"command": "true", "env": {"PASSWORD": password}}}

    job = make_job(database, **shell("first-one"))

    change(database, job, **shell("second-one"))

    first, second = kept(database, job)
    assert first.definition["kwargs"] == {"command": "true", "env": {"PASSWORD": "***"}}
    assert first.definition == second.definition
    assert second.changed == ["kwargs.env"]


def test_a_restore_has_a_note_and_an_event_of_its_own(database: Database) -> None:
    job = make_job(database, priority=1)
    change(database, job, priority=2)

    change(database, job, priority=1, restored=1)

    assert kept(database, job)[-1].note == "Revision 1 was restored."
    with database.session() as session:
        event = session.scalars(select(AuditEvent).order_by(AuditEvent.id.desc()).limit(1)).one()
    assert (event.action, event.detail["revision"]) == ("restore", 1)
    assert event.detail["before"]["priority"] == 2


def test_the_newest_revisions_are_kept(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(revisions, "MAX_REVISIONS", 3)
    job, other = make_job(database, priority=0), make_job(database, name="other")

    for priority in range(1, 6):
        change(database, job, priority=priority)

    assert numbers(database, job) == [4, 5, 6]
    assert numbers(database, other) == [1]


def test_a_purge_deletes_the_revisions_of_its_job_only(database: Database) -> None:
    job, other = make_job(database), make_job(database, name="other")

    with database.session() as session:
        service.remove(session, job, version=None, by="ann", at=NOON, to_purge=True)
    assert numbers(database, job) == [1]
    with database.session() as session:
        service.purge(session, job, by="ann", at=NOON)

    assert (numbers(database, job), numbers(database, other)) == ([], [1])


def test_a_change_that_fails_leaves_no_revision(database: Database) -> None:
    job = make_job(database)
    make_job(database, name="taken", at=NOON - MINUTE)

    with pytest.raises(Exception, match="taken"):
        change(database, job, name="taken")

    assert numbers(database, job) == [1]


def test_pages_are_newest_first(database: Database) -> None:
    job = make_job(database, priority=0)
    for priority in (1, 2, 3):
        change(database, job, priority=priority)

    with database.session() as session:
        first = revisions.page(session, job, before=None, limit=2)
        second = revisions.page(session, job, before=3, limit=5)

    assert [item.number for item in first + second] == [4, 3, 2, 1]


def test_a_field_that_is_newer_than_a_revision_is_no_change(database: Database) -> None:
    job = make_job(database)
    (only,) = kept(database, job)
    older = {name: value for name, value in only.definition.items() if name != "confirm"}
    with database.session() as session:
        session.execute(update(JobRevision).values(definition=older))
        # A pause and a resume are versions, too.
        session.execute(update(Job).values(version=Job.version + 2))
        session.commit()
        job = session.get_one(Job, job.id)

    change(database, job, description="after")

    assert numbers(database, job) == [1, 4]


def test_a_job_had_the_last_revision_before_an_instant(database: Database) -> None:
    job, other = make_job(database), make_job(database)
    change(database, job, description="after")
    change(database, other, description="other")
    first, second = numbers(database, job)
    later = update(JobRevision).where(JobRevision.number == second).values(at=NOON + HOUR)
    with database.session() as session:
        session.execute(later)
        session.commit()
        instants = (NOON - 9999 * HOUR, NOON, NOON + HOUR - MINUTE, NOON + HOUR)
        numbers_then = [revisions.number_at(session, job.id, at) for at in instants]

    assert numbers_then == [None, first, first, second]


def test_a_revision_that_is_not_kept_is_not_found(database: Database) -> None:
    job = make_job(database)

    with database.session() as session, pytest.raises(NotFound, match="no revision 7"):
        revisions.get(session, job, 7)


@pytest.mark.parametrize(
    "then, now, restored",
    [
        (
            {"n": 1, "password": "***"},
            {"n": 2, "password": "s3cret"},
            {"n": 1, "password": "s3cret"},
        ),
        ({"password": "***"}, {}, {"password": "***"}),
        ({"n": True}, {"n": 1}, {"n": True}),
        (
            {"urls": ["http://a:***@h/"]},
            {"urls": ["http://a:s3cret@h/"]},
            {"urls": ["http://a:s3cret@h/"]},
        ),
        ({"urls": ["http://a:***@h/"]}, {"urls": []}, {"urls": ["http://a:***@h/"]}),
    ],
)
def test_a_masked_secret_stays_as_the_job_has_it(
    then: dict[str, Any], now: dict[str, Any], restored: dict[str, Any]
) -> None:
    assert revisions.restorable({"kwargs": then}, now)["kwargs"] == restored
