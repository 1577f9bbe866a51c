"""Clocks that differ."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from sqlalchemy import text

from jobs_app.core import clock
from jobs_app.db.engine import Database
from jobs_app.jobs.doctor import clocks
from jobs_app.jobs.doctor.clocks import Reading
from tests.factories import NOON, SECOND


@pytest.mark.parametrize(
    "reading, level",
    [
        (Reading("Redis", 0.9), None),
        (Reading("Redis", 3.0, margin=2.5), None),
        (Reading("Redis", -3.0), "warning"),
        (Reading("the worker w", 11.0), "error"),
    ],
)
def test_a_clock_that_is_wrong_by_more_than_its_margin(reading: Reading, level: str | None) -> None:
    found = [str(finding.level) for finding in clocks.check([reading])]

    assert found == ([] if level is None else [level])


def test_the_sentence_says_which_way() -> None:
    (behind,) = clocks.check([Reading("Redis", -3.0)])

    assert "The clock of Redis is 3.0 s behind that of this process" in behind.sentence


def test_the_time_of_the_way_is_the_margin() -> None:
    reading = clocks.reading("Redis", NOON + 3 * SECOND, NOON, NOON + 2 * SECOND)

    assert (reading.ahead, reading.margin) == (2.0, 1.0)


def test_a_silent_process_is_not_behind() -> None:
    assert clocks.process_clock("w", NOON - timedelta(hours=1), at=NOON).ahead == 0
    assert clocks.process_clock("w", NOON + 5 * SECOND, at=NOON).ahead == 5


def test_a_database_server_has_a_clock_and_a_file_has_none(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours: Callable[[], object] = clock.now
    monkeypatch.setattr(clock, "now", lambda: ours() + timedelta(seconds=20))  # type: ignore[operator]  # an instant

    with database.reading() as session:
        session.execute(text("SELECT 1"))
        reading = clocks.database_clock(session)

    if database.engine.dialect.name == "sqlite":
        assert reading is None
    else:
        assert reading is not None
        assert -21 < reading.ahead < -19
