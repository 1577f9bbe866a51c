"""Counters in the database: added to by several processes, on both databases."""

import pytest
from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError

from jobs_app.db.counters import (
    INFINITE,
    SUM,
    WAIT_BUCKETS,
    Key,
    PendingCounts,
    add_to,
    bucket,
    bucket_label,
)
from jobs_app.db.engine import Database
from jobs_app.db.models.metrics import MetricCounter


def _values(database: Database) -> dict[Key, float]:
    with database.reading() as session:
        rows = session.scalars(select(MetricCounter))
        return {Key(row.name, row.job_id, row.label): row.value for row in rows}


def test_amounts_are_added_to_what_is_there(database: Database) -> None:
    for amount in (2, 3.5):
        with database.session() as session:
            add_to(session, {Key("fires", 0, "run"): amount, Key("fires", 7): 0})
            session.commit()

    assert _values(database) == {Key("fires", 0, "run"): 5.5, Key("fires", 7): 0}


def test_what_a_process_counted_is_written_once(database: Database) -> None:
    counts = PendingCounts()
    counts.add("janitor", "resend", 2)
    counts.add("janitor", "resend")
    counts.observe("lag", 0.2, 3)
    counts.observe("lag", 1e6)

    counts.write(database)
    counts.write(database)

    assert _values(database) == {
        Key("janitor", 0, "resend"): 3,
        Key("lag", 0, "0.25"): 3,
        Key("lag", 0, INFINITE): 1,
        Key("lag", 0, SUM): pytest.approx(1e6 + 0.6),
    }


def test_what_could_not_be_written_is_kept(database: Database) -> None:
    counts, elsewhere = PendingCounts(), Database("sqlite:////nowhere/at/all.db")
    counts.add("janitor", "resend")

    with pytest.raises(SQLAlchemyError):
        counts.write(elsewhere)
    counts.add("janitor", "resend")
    counts.write(database)

    assert _values(database) == {Key("janitor", 0, "resend"): 2}


@pytest.mark.parametrize(
    "seconds, label",
    [(0.0, "0.05"), (0.05, "0.05"), (0.051, "0.1"), (1800, "1800"), (1801, "+Inf")],
)
def test_a_bucket_holds_what_is_at_most_its_bound(seconds: float, label: str) -> None:
    assert bucket(WAIT_BUCKETS, seconds) == label


def test_each_bucket_has_its_own_label() -> None:
    assert len({*map(bucket_label, WAIT_BUCKETS)}) == len(WAIT_BUCKETS)
