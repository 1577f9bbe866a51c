"""The checks of the tables behind /metrics, on both databases."""

import pytest
from sqlalchemy import insert
from sqlalchemy.exc import IntegrityError

from jobs_app.db.columns import new_run_id
from jobs_app.db.engine import Database
from jobs_app.db.models.metrics import RunCounting


def test_the_place_of_the_counting_has_one_row(database: Database) -> None:
    with database.session() as session:
        session.execute(insert(RunCounting).values(number=1, next_id=new_run_id()))
        with pytest.raises(IntegrityError):
            session.execute(insert(RunCounting).values(number=2, next_id=new_run_id()))
