"""Which fires move when the data of a zone changes."""

from base64 import b64encode

import pytest
from sqlalchemy import select

from jobs_app.db.engine import Database
from jobs_app.db.models.accounts import AuditEvent
from jobs_app.db.models.processes import ZoneFile
from jobs_app.jobs import zone_changes
from jobs_app.schedules import zone_data
from tests.factories import DAY, HOUR, NOON, make_job

ON_SQLITE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


def note(database: Database) -> list[zone_changes.MovedFires]:
    with database.session() as session:
        return zone_changes.note_zone_files(session, by="scheduler", at=NOON)


def pretend(database: Database, zone: str, other: str) -> None:
    """Let the noted data of *zone* be that of *other*."""
    data = zone_data.zone_file(other)
    assert data is not None
    with database.session() as session:
        session.get_one(ZoneFile, zone).data = b64encode(data).decode()
        session.commit()


@ON_SQLITE
def test_the_first_note_moves_nothing_and_a_second_one_writes_nothing(database: Database) -> None:
    make_job(database, name="a", cron="0 9 * * *", timezone="Europe/Paris")

    assert note(database) == []
    with database.reading() as session:
        (row,) = session.scalars(select(ZoneFile))
        assert (row.zone, row.version) == ("Europe/Paris", zone_data.version())
        assert zone_changes.moved_by_present_data(session, at=NOON) == []
    assert note(database) == []


@ON_SQLITE
def test_a_look_that_finds_no_change_waits_for_no_writer(database: Database) -> None:
    make_job(database)
    zone_changes.note_zones_in(database, NOON)

    with database.session() as writer:
        writer.execute(select(ZoneFile))
        zone_changes.note_zones_in(database, NOON + DAY)

    with database.reading() as session:
        assert session.scalars(select(ZoneFile.noted_at)).all() == [NOON]


@ON_SQLITE
def test_jobs_of_a_changed_zone_are_named_with_their_first_fire(database: Database) -> None:
    make_job(database, name="moves", cron="0 9 * * *", timezone="Europe/Paris")
    make_job(database, name="stays", cron="0 9 * * *", timezone="UTC")
    make_job(database, name="real-time", interval_seconds=3600, timezone="Europe/Paris")
    note(database)
    pretend(database, "Europe/Paris", "Europe/London")

    with database.reading() as session:
        (moved,) = zone_changes.moved_by_present_data(session, at=NOON)

    assert (moved.job, moved.timezone) == ("moves", "Europe/Paris")
    # From London's 09:00, which is 08:00 UTC in summer, to that of Paris.
    assert moved.before == NOON + DAY - 4 * HOUR
    assert moved.after == NOON + DAY - 5 * HOUR
    assert 88 <= moved.count <= 92


@ON_SQLITE
def test_the_audit_keeps_which_fires_moved(database: Database) -> None:
    make_job(database, name="moves", cron="0 9 * * *", timezone="Europe/Paris")
    note(database)
    pretend(database, "Europe/Paris", "Europe/London")

    assert len(note(database)) == 1
    assert note(database) == []
    with database.reading() as session:
        named = select(AuditEvent).where(AuditEvent.action == "zone_data_changed")
        (event,) = session.scalars(named)
    assert event.detail["jobs"] == ["moves: 2026-06-16T08:00:00Z to 2026-06-16T07:00:00Z"]


@ON_SQLITE
def test_a_change_beyond_90_days_moves_nothing_now(database: Database) -> None:
    # In summer both are seven hours behind UTC; they differ from November on.
    make_job(database, name="a", cron="0 9 * * *", timezone="America/Phoenix")
    note(database)
    pretend(database, "America/Phoenix", "America/Los_Angeles")

    with database.reading() as session:
        assert zone_changes.moved_by_present_data(session, at=NOON) == []


def test_versions_are_grouped() -> None:
    rows = [("a", "2025b"), ("b", None), ("c", "2025b"), ("d", "2024a")]

    assert zone_changes.zone_versions(rows) == {"2025b": ["a", "c"], "2024a": ["d"]}
