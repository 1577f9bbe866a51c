"""The row of a scheduler."""

import pytest
from sqlalchemy import select

from jobs_app import __version__
from jobs_app.core import reported_settings
from jobs_app.core.settings import Settings
from jobs_app.db.engine import Database
from jobs_app.db.models.processes import SchedulerProcess
from jobs_app.scheduler.process_row import ProcessRow
from jobs_app.schedules import zone_data
from tests.factories import NOON, SECOND


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_row_comes_with_the_first_tick_and_goes_with_the_process(database: Database) -> None:
    settings = Settings(keep_days=7)
    row, other = ProcessRow(database, settings), ProcessRow(database, settings)
    row.note(NOON, is_active=False)
    row.note(NOON + SECOND, is_active=True)
    other.note(NOON, is_active=False)
    other.remove()

    with database.reading() as session:
        (noted,) = session.scalars(select(SchedulerProcess))
    assert (noted.started_at, noted.ticked_at) == (NOON, NOON + SECOND)
    assert (noted.is_active, noted.tzdata) == (True, zone_data.version())
    assert (noted.version, noted.settings) == (
        __version__,
        reported_settings.of_scheduler(settings),
    )
