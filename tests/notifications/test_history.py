"""The records of notifications: their pruning, and whether a sender is running."""

from datetime import UTC, datetime

import pytest

from jobs_app.core.states import NotificationState
from jobs_app.db.engine import Database
from jobs_app.db.models.processes import SchedulerProcess
from jobs_app.jobs import service
from jobs_app.notifications import history
from tests.factories import DAY, HOUR, NOON, SECOND, make_job
from tests.notification_checks import make_channel, rows


def test_settled_notifications_are_pruned_after_a_month_and_pending_ones_stay(
    database: Database,
) -> None:
    make_channel(database)
    job = make_job(database)
    with database.session() as session:
        service.pause(session, job, reason=None, by="ann", at=NOON)
    (row,) = rows(database)
    made_at = datetime.fromtimestamp((row.id.int >> 80) / 1000, UTC)

    def prune(days: float) -> int:
        with database.session() as session:
            count = history.prune(session, at=made_at + days * DAY)
            session.commit()
            return count

    assert prune(31) == 0
    with database.session() as session:
        session.get_one(type(row), row.id).state = NotificationState.SENT
        session.commit()
    assert [prune(29.9), prune(30.1)] == [0, 1]


@pytest.mark.parametrize("seconds, is_there", [(9, True), (11, False)])
def test_there_is_a_sender_while_a_scheduler_ticks(
    database: Database, seconds: int, is_there: bool
) -> None:
    with database.session() as session:
        row = SchedulerProcess(name="s", pid=1, started_at=NOON - HOUR, ticked_at=NOON)
        session.add(row)
        session.commit()

        assert history.has_sender(session, at=NOON + seconds * SECOND) is is_there
