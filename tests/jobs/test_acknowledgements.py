"""Who takes care of what needs attention, and for how long."""

from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from jobs_app.accounts import tag_limit
from jobs_app.core.errors import NotFound
from jobs_app.db.engine import Database
from jobs_app.db.models.accounts import AuditEvent
from jobs_app.db.models.jobs import Job
from jobs_app.db.models.processes import Acknowledgement
from jobs_app.jobs import acknowledgements
from jobs_app.jobs.attention import Item, Kind, attention
from tests.factories import HOUR, NOON, make_job


@pytest.fixture
def session(database: Database) -> Iterator[Session]:
    """A session on a database with a failing job, where no scheduler and no worker is."""
    make_job(database, name="nightly")
    with database.session() as opened:
        set_failing(opened, since=0)
        yield opened


def set_failing(session: Session, *, since: float) -> None:
    failing_since = NOON + timedelta(seconds=since)
    session.execute(update(Job).values(failures_in_a_row=1, failing_since=failing_since))
    session.commit()


def failing(session: Session) -> tuple[list[Item], Item]:
    items = attention(session, at=NOON)
    return items, next(item for item in items if item.kind is Kind.FAILING)


def acknowledge(
    session: Session, *, by: str = "ana", note: str | None = None, at: datetime = NOON
) -> Item:
    items, item = failing(session)
    return acknowledgements.acknowledge(session, items, item.id, note=note, by=by, at=at)


def test_all_see_who_takes_care_until_the_state_changes(session: Session) -> None:
    acknowledge(session, by="ben")
    made = acknowledge(session, note="asked the DBAs")

    items, item = failing(session)
    assert item == made
    assert [known.acknowledgement is None for known in items] == [
        known.id != item.id for known in items
    ]
    assert item.acknowledgement is not None
    assert (item.acknowledgement.by, item.acknowledgement.note) == ("ana", "asked the DBAs")
    set_failing(session, since=60)
    assert failing(session)[1].acknowledgement is None


def test_an_acknowledgement_is_taken_back_once_and_both_are_in_the_audit(
    session: Session,
) -> None:
    acknowledge(session, note="mine")

    for _ in range(2):
        items, item = failing(session)
        acknowledgements.take_back(session, items, item.id, by="ben", at=NOON)

    assert failing(session)[1].acknowledgement is None
    job_id = session.scalars(select(Job.id)).one()
    newest = select(AuditEvent).order_by(AuditEvent.id.desc()).limit(2)
    back, made = session.scalars(newest)
    assert (back.action, back.actor, back.job_id) == ("take_back", "ben", job_id)
    assert (made.action, made.actor, made.job_id) == ("acknowledge", "ana", job_id)
    assert made.detail == {"kind": "failing", "note": "mine"}


def test_a_line_that_is_gone_is_refused_and_its_row_goes_with_the_next(session: Session) -> None:
    acknowledge(session)
    _, item = failing(session)
    set_failing(session, since=60)

    with pytest.raises(NotFound, match="state has changed"):
        acknowledgements.acknowledge(
            session, attention(session, at=NOON), item.id, note=None, by="ana", at=NOON
        )
    session.rollback()
    assert session.scalars(select(Acknowledgement.line)).all() == [item.id]
    made = acknowledge(session, at=NOON + HOUR)

    assert session.scalars(select(Acknowledgement.line)).all() == [made.id]


def test_a_row_made_since_the_list_was_read_is_left(database: Database, session: Session) -> None:
    items, item = failing(session)
    session.rollback()
    make_job(database, name="late", queue="slow")
    with database.session() as other:
        newer = attention(other, at=NOON + HOUR)
        queue = next(line for line in newer if line.queue == "slow")
        acknowledgements.acknowledge(other, newer, queue.id, note=None, by="ben", at=NOON + HOUR)

    acknowledgements.acknowledge(session, items, item.id, note=None, by="ana", at=NOON)

    assert set(session.scalars(select(Acknowledgement.line))) == {item.id, queue.id}


def test_whoever_sees_some_jobs_only_leaves_the_rows_of_the_others(
    database: Database, session: Session
) -> None:
    other = acknowledge(session)
    make_job(database, name="mine", tags=["mine"], queue="slow")
    with database.session() as limited:
        tag_limit.limit(limited, frozenset({"mine"}))
        items = attention(limited, at=NOON + HOUR)
        queue = next(item for item in items if item.queue == "slow")
        acknowledgements.acknowledge(limited, items, queue.id, note=None, by="ben", at=NOON)

    session.rollback()
    assert set(session.scalars(select(Acknowledgement.line))) == {other.id, queue.id}
