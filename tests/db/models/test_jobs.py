"""The checks of the table of jobs, on both databases."""

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from jobs_app.db.engine import Database
from tests.factories import make_job


@pytest.mark.parametrize(
    "values",
    [
        {"cron": "* * * * *", "interval_seconds": 5},
        {"interval_seconds": 0, "cron": None},
        {"cron": "* * * * *", "every": "1 day", "anchor_at": "2026-06-15 12:00:00"},
        {"every": "1 day", "cron": None},
        {"state": "paused"},
        {"next_due_at": None},
        {"state": "asleep"},
    ],
)
def test_the_database_itself_refuses_an_impossible_job(
    database: Database, values: dict[str, object]
) -> None:
    job = make_job(database, cron="0 * * * *")
    assigned = ", ".join(f"{name} = :{name}" for name in values)

    with database.session() as session, pytest.raises(IntegrityError):
        session.execute(text(f"UPDATE jobs SET {assigned} WHERE id = :id"), {"id": job.id} | values)
