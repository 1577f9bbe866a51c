"""Instants in the database, on both databases."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from sqlalchemy import Column, Integer, MetaData, Table, select
from sqlalchemy.exc import StatementError

from jobs_app.db.columns import UTCDateTime
from jobs_app.db.engine import Database
from jobs_app.db.models.jobs import Job
from tests.factories import NOON, make_job


def test_instants_come_back_aware_and_in_utc(database: Database) -> None:
    made = NOON.astimezone(timezone(timedelta(hours=5, minutes=45))) + timedelta(microseconds=1)
    job = make_job(database, at=made)

    with database.reading() as session:
        stored = session.get_one(Job, job.id)

    assert stored.created_at == made
    assert stored.created_at.tzinfo is UTC


def test_an_instant_without_a_zone_is_refused(database: Database) -> None:
    table = Table("t", MetaData(), Column("id", Integer), Column("at", UTCDateTime))

    with database.reading() as session, pytest.raises(StatementError, match="no time zone"):
        # A naive instant is what the test is about.
        session.execute(select(table).where(table.c.at == datetime(2026, 1, 1)))  # noqa: DTZ001
