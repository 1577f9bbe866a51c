"""The next fires of all jobs."""

from jobs_app.db.engine import Database
from jobs_app.jobs import service
from jobs_app.jobs.upcoming import NextFires, upcoming
from tests.factories import HOUR, NOON, make_job


def test_jobs_that_fire_together_are_named_together(database: Database) -> None:
    for name in ("b", "a"):
        make_job(database, name=name, at=NOON, cron="0 * * * *")
    make_job(database, name="later", at=NOON, cron="0 15 * * *")
    make_job(database, name="by-hand", schedule=None)
    paused = make_job(database, name="paused", at=NOON, cron="0 * * * *")
    with database.session() as session:
        service.pause(session, paused, reason=None, by="ann", at=NOON)

    with database.reading() as session:
        fires = upcoming(session, limit=9).fires
        first = upcoming(session, limit=1).fires

    assert fires == [NextFires(NOON + HOUR, ("a", "b")), NextFires(NOON + 3 * HOUR, ("later",))]
    assert first == fires[:1]
