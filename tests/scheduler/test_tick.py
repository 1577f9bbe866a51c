"""A burst: more jobs due at once than one transaction takes."""

from collections import Counter
from collections.abc import Sequence

import pytest
from sqlalchemy import func, insert, select, text, update

from jobs_app.core.errors import BrokerUnavailable
from jobs_app.db.engine import Database
from jobs_app.db.models.jobs import Job
from jobs_app.db.models.runs import Run
from jobs_app.jobs.redbeat_entries import Projection
from jobs_app.runs.fires import ERROR_PAUSE_SECONDS
from jobs_app.runs.messages import Message
from jobs_app.scheduler.tick import BURST, Ticker
from tests.factories import HOUR, NOON, SECOND

COUNT = BURST + 150


@pytest.fixture
def burst(database: Database, projection: Projection) -> None:
    """COUNT jobs that are all due at noon."""
    common = {"task": "sleep", "cron": "0 * * * *", "created_at": NOON, "updated_at": NOON}
    due = {"next_fire_at": NOON, "next_due_at": NOON}
    rows = [common | due | {"name": f"job-{number}"} for number in range(COUNT)]
    with database.session() as session:
        session.execute(insert(Job), rows)
        session.commit()
        projection.rebuild(session.scalars(select(Job)).all())


def count(database: Database, *conditions: object) -> int:
    with database.reading() as session:
        # The keywords are of mixed types.
        return session.scalar(select(func.count()).select_from(Run).where(*conditions)) or 0  # type: ignore[arg-type]


@pytest.mark.usefixtures("burst")
def test_every_fire_of_a_burst_is_recorded_and_sent_once(
    database: Database, projection: Projection
) -> None:
    sent: list[Message] = []

    ticked = Ticker(database, projection, sent.extend, batch=100).tick(at=NOON)

    assert (ticked.recorded, ticked.is_full) == (COUNT, False)
    assert set(Counter(message.run_id for message in sent).values()) == {1}
    assert len(sent) == count(database) == COUNT
    assert projection.due(at=NOON + HOUR - SECOND, limit=10)[0] == []


@pytest.mark.usefixtures("burst")
def test_no_message_of_a_burst_is_sent_before_its_run_is_recorded(
    database: Database, projection: Projection
) -> None:
    unrecorded: list[Message] = []

    def publish(messages: Sequence[Message]) -> None:
        with database.reading() as session:
            known = set(session.scalars(select(Run.id)))
        unrecorded.extend(message for message in messages if message.run_id not in known)

    Ticker(database, projection, publish, batch=100).tick(at=NOON)

    assert count(database) == COUNT
    assert unrecorded == []


@pytest.mark.usefixtures("burst")
def test_a_batch_that_is_not_sent_is_left_to_the_janitor_and_stops_no_other(
    database: Database, projection: Projection
) -> None:
    sent: list[Message] = []

    def publish(messages: Sequence[Message]) -> None:
        if not sent:
            sent.extend(messages)
            raise BrokerUnavailable("just now")
        sent.extend(messages)

    Ticker(database, projection, publish, batch=100).tick(at=NOON)

    assert len(sent) == COUNT
    assert count(database, Run.send_at == NOON) >= 100
    assert count(database, Run.send_at > NOON) >= COUNT - 300


@pytest.mark.usefixtures("burst")
def test_a_schedule_that_cannot_be_worked_out_stops_no_other_of_a_burst(
    database: Database, projection: Projection
) -> None:
    with database.session() as session:
        session.execute(update(Job).where(Job.name == "job-7").values(cron="no cron"))
        session.commit()

    ticked = Ticker(database, projection, lambda _: None, batch=100).tick(at=NOON)

    assert ticked.recorded == COUNT - 1


@pytest.mark.usefixtures("burst")
def test_a_job_whose_run_the_database_refuses_stops_no_other_of_a_burst(
    database: Database, projection: Projection
) -> None:
    with database.session() as session:
        bad = session.scalars(select(func.max(Job.id))).one()
        if session.get_bind().dialect.name == "sqlite":
            session.execute(
                text(
                    f"CREATE TRIGGER refuse BEFORE INSERT ON runs WHEN NEW.job_id = {bad} "
                    "BEGIN SELECT RAISE(ABORT, 'refused'); END"
                )
            )
        else:
            session.execute(text(f"ALTER TABLE runs ADD CHECK (job_id <> {bad})"))
        session.commit()
    sent: list[Message] = []

    ticked = Ticker(database, projection, sent.extend, batch=100).tick(at=NOON)

    assert ticked.recorded == len(sent) == count(database) == COUNT - 1
    with database.reading() as session:
        job = session.get_one(Job, bad)
    assert job.scheduling_error == "IntegrityError"
    assert job.next_fire_at == NOON
    assert job.next_due_at == NOON + ERROR_PAUSE_SECONDS * SECOND
    assert projection.due(at=NOON + SECOND, limit=10)[0] == []


@pytest.mark.usefixtures("burst")
def test_the_database_says_when_the_next_job_is_due_later_than_an_instant(
    database: Database, projection: Projection
) -> None:
    ticker = Ticker(database, projection, lambda _: None, batch=100)

    assert ticker.next_due_at(after=NOON - SECOND) == NOON
    # What is overdue is not waited for: it may stay so, while another scheduler has its row.
    assert ticker.next_due_at(after=NOON) is None
