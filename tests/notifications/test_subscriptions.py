"""The subscribed events of jobs: refreshed without a lock, in batches, whoever writes meanwhile."""

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import event, select, update

from jobs_app.core.states import Event
from jobs_app.db.engine import Database
from jobs_app.db.models.jobs import Job
from jobs_app.notifications import subscriptions
from jobs_app.notifications.rules import Rule
from jobs_app.notifications.subscriptions import refresh_subscriptions
from tests.factories import make_job
from tests.notification_checks import make_channel

FAILED_ONLY = (Rule("ops", on=(Event.FAILED,)),)


def spoil(database: Database) -> None:
    """Give all jobs wrong subscribed events."""
    with database.session() as session:
        session.execute(update(Job).values(subscribed_events=0))
        session.commit()


def subscribed(database: Database) -> dict[str, int]:
    with database.reading() as session:
        rows = session.execute(select(Job.name, Job.subscribed_events))
        return {row.name: row.subscribed_events for row in rows}


def refresh(database: Database) -> int:
    with database.session() as session:
        return refresh_subscriptions(session)


def test_jobs_with_and_without_rules_are_corrected_in_batches(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_channel(database, events=(Event.LATE,))
    for number in range(4):
        make_job(database, name=f"plain-{number}")
        make_job(database, name=f"ruled-{number}", notify=FAILED_ONLY)
    before = subscribed(database)
    spoil(database)
    monkeypatch.setattr(subscriptions, "REFRESH_BATCH", 3)
    writes: list[int] = []

    def note(_: Any, __: Any, statement: str, parameters: Any, *___: Any) -> None:
        if statement.startswith("UPDATE jobs"):
            writes.append(len(parameters))

    event.listen(database.engine, "before_cursor_execute", note)
    corrected = refresh(database)

    assert corrected == 8
    assert subscribed(database) == before
    assert before["plain-0"] == Event.LATE.bit != before["ruled-0"]
    assert writes == [3, 3, 2]
    assert refresh(database) == 0


def test_a_refresh_knows_the_deadline_of_each_job(database: Database) -> None:
    make_channel(database, events=(Event.LATE,))
    for deadline in (0, 900):
        make_job(database, name=f"plain-{deadline}", starting_deadline_seconds=deadline)
    assert refresh(database) == 0
    with database.session() as session:
        session.execute(update(Job).values(late_after_seconds=300))
        session.commit()

    assert refresh(database) == 2

    with database.reading() as session:
        late_after = session.scalars(select(Job.late_after_seconds).order_by(Job.id)).all()
    assert late_after == [60, 900]


def test_a_refresh_that_finds_nothing_wrong_waits_for_no_writer(database: Database) -> None:
    make_channel(database)
    make_job(database, notify=FAILED_ONLY)

    with database.session() as writer:
        writer.execute(update(Job).values(description="being written"))

        assert refresh(database) == 0


@pytest.mark.parametrize(
    "change",
    [
        lambda: update(Job).values(version=Job.version + 1, description="new"),
        lambda: update(Job).values(subscribed_events=Event.LOST.bit),
    ],
    ids=["the job", "its events"],
)
def test_a_job_that_others_write_after_it_was_read_is_read_again(
    database: Database, change: Callable[[], Any]
) -> None:
    make_channel(database, events=(Event.LATE,))
    make_job(database)
    right = subscribed(database)
    spoil(database)
    meanwhile = [change()]

    def write_once(*_: Any) -> None:
        if meanwhile:
            statement = meanwhile.pop()
            with database.session() as session:
                session.execute(statement)
                session.commit()

    # The connection comes back to the pool once the batch is read.
    event.listen(database.engine, "checkin", write_once)
    corrected = refresh(database)

    assert not meanwhile
    assert corrected == 1
    assert subscribed(database) == right
