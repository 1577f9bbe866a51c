"""The engine and the migrations, on both databases."""

import re
import shutil
import subprocess
import sys
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from uuid import uuid4

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Column, Integer, MetaData, Table, inspect, select, text
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError, StatementError

from jobs_app.core.errors import ConfigurationError
from jobs_app.core.settings import Settings
from jobs_app.core.states import RunState
from jobs_app.db import installation
from jobs_app.db.columns import Base, UTCDateTime, new_run_id
from jobs_app.db.engine import SQLITE_CACHE_KIB, SQLITE_WAL_PAGES, Database
from jobs_app.db.migrations import alembic_config, migrate
from jobs_app.db.models.jobs import Job
from jobs_app.db.models.processes import Installation
from jobs_app.runs import history
from tests.factories import NOON, make_job

PROCESSES = 6
WRITES = 50

COUNT_UP = """
import sys
from sqlalchemy import text
from jobs_app.db.engine import Database

database = Database(sys.argv[1])
for _ in range(int(sys.argv[2])):
    with database.session() as session, session.begin():
        # A read before the write: this is where a deferred BEGIN fails or loses.
        seen = session.execute(text("SELECT value FROM counter")).scalar_one()
        session.execute(text("UPDATE counter SET value = :next"), {"next": seen + 1})
    with database.reading() as session:
        session.execute(text("SELECT value FROM counter")).scalar_one()
"""


def test_six_processes_write_to_sqlite_and_no_update_is_lost(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'counter.db'}"
    database = Database(url)
    with database.session() as session, session.begin():
        session.execute(text("CREATE TABLE counter (value INTEGER)"))
        session.execute(text("INSERT INTO counter VALUES (0)"))

    writers = [
        subprocess.Popen([sys.executable, "-c", COUNT_UP, url, str(WRITES)], stderr=subprocess.PIPE)
        for _ in range(PROCESSES)
    ]
    errors = [writer.communicate(timeout=120)[1].decode() for writer in writers]

    assert errors == [""] * PROCESSES
    with database.reading() as session:
        assert session.execute(text("SELECT value FROM counter")).scalar_one() == (
            PROCESSES * WRITES
        )
    database.close()


def test_a_reader_of_sqlite_is_not_blocked_by_a_writer(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'jobs.db'}", connect_args={"timeout": 0})
    with database.session() as session, session.begin():
        session.execute(text("CREATE TABLE plain (value INTEGER)"))

    with database.session() as writer, writer.begin():
        writer.execute(text("INSERT INTO plain VALUES (1)"))
        with database.reading() as reader:
            assert reader.execute(text("SELECT count(*) FROM plain")).scalar_one() == 0
        with database.session() as other, pytest.raises(OperationalError, match="locked"):
            other.execute(text("INSERT INTO plain VALUES (2)"))
    database.close()


def test_a_file_that_was_replaced_is_noticed_and_the_new_one_used(tmp_path: Path) -> None:
    file, backup = tmp_path / "jobs.db", tmp_path / "backup.db"
    for path, value in ((file, 1), (backup, 2)):
        written = Database(f"sqlite:///{path}")
        with written.session() as session, session.begin():
            session.execute(text("CREATE TABLE plain (value INTEGER)"))
            session.execute(text("INSERT INTO plain VALUES (:value)"), {"value": value})
        written.close()
    database = Database(f"sqlite:///{file}")
    with database.reading() as session:
        assert session.execute(text("SELECT value FROM plain")).scalar_one() == 1

    backup.replace(file)
    gone = pytest.raises(OperationalError, match="removed or replaced")
    with gone, database.session() as session:
        session.execute(text("UPDATE plain SET value = 3"))

    # Only open connections are refused: the next one opens the new file.
    with database.reading() as session:
        assert session.execute(text("SELECT value FROM plain")).scalar_one() == 2
    database.close()


def test_a_database_that_is_gone_is_not_replaced_by_an_empty_one(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    migrate(settings)
    file = tmp_path / "jobs.db"

    file.rename(tmp_path / "elsewhere.db")
    for _ in range(2):
        with pytest.raises(ConfigurationError) as raised:
            migrate(settings)
        # Somebody else has connected to it meanwhile.
        file.touch()
    file.unlink()
    (tmp_path / "elsewhere.db").rename(file)
    migrate(settings)

    assert str(file) in raised.value.detail
    assert str(settings.database_marker_file) in raised.value.detail


def test_without_its_marker_file_a_new_database_is_made(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    migrate(settings)

    (tmp_path / "jobs.db").unlink()
    settings.database_marker_file.unlink()
    migrate(settings)

    database = Database(settings.effective_database_url)
    assert "jobs" in inspect(database.engine).get_table_names()
    database.close()


def test_a_database_that_a_newer_version_has_migrated_is_refused_with_a_sentence(
    database_url: str, tmp_path: Path
) -> None:
    database = Database(database_url)
    with database.session() as session, session.begin():
        session.execute(text("UPDATE alembic_version SET version_num = '9999'"))

    with pytest.raises(ConfigurationError, match="newer version"):
        migrate(Settings(database_url=database_url, data_dir=tmp_path))
    database.close()


def test_a_commit_to_sqlite_is_on_the_disk(tmp_path: Path) -> None:
    """Also with the settings for speed, on each connection."""
    database = Database(f"sqlite:///{tmp_path / 'jobs.db'}")
    pragmas = {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "temp_store": 2}
    pragmas |= {"cache_size": -SQLITE_CACHE_KIB, "wal_autocheckpoint": SQLITE_WAL_PAGES}

    with database.engine.connect() as one, database.engine.connect() as other:
        for connection in (one, other):
            for name, value in pragmas.items():
                assert connection.exec_driver_sql(f"PRAGMA {name}").scalar_one() == value, name
            connection.rollback()
    database.close()


def test_the_wal_of_sqlite_does_not_grow_without_end(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'jobs.db'}")
    with database.session() as session, session.begin():
        session.execute(text("CREATE TABLE plain (value TEXT)"))

    for _ in range(60):
        with database.session() as session, session.begin():
            session.execute(text("INSERT INTO plain VALUES (:value)"), {"value": "x" * 1_000_000})

    assert (tmp_path / "jobs.db-wal").stat().st_size < 25_000_000
    database.close()


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
        session.execute(select(table).where(table.c.at == datetime(2026, 1, 1)))  # noqa: DTZ001


#: An index that needs an extension of PostgreSQL, which may be missing.
OPTIONAL = {"ix_runs_words"}


# Indexes with expressions cannot be read from SQLite; they are compared in the next test.
@pytest.mark.filterwarnings("ignore:Skipped unsupported reflection of expression-based index")
@pytest.mark.filterwarnings("ignore:autogenerate skipping metadata-specified expression-based")
def test_migrations_and_models_are_equal(database: Database) -> None:
    with database.engine.connect() as connection:
        context = MigrationContext.configure(
            connection,
            opts={
                "compare_type": True,
                "compare_server_default": True,
                "include_name": lambda name, *_: name not in OPTIONAL,
            },
        )
        assert compare_metadata(context, Base.metadata) == []


def constraints(database: Database) -> dict[str, set[str]]:
    """Return the names of all checks and the definitions of all indexes, by table."""
    inspector = inspect(database.engine)
    is_sqlite = database.engine.dialect.name == "sqlite"
    query = (
        "SELECT tbl_name, name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL"
        if is_sqlite
        else "SELECT tablename, indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'"
    )
    with database.engine.connect() as connection:
        indexes = connection.exec_driver_sql(query).all()
    return {
        table: {str(check["name"]) for check in inspector.get_check_constraints(table)}
        | {
            # As PostgreSQL understands it, or as written for SQLite, without quotes and spaces.
            re.sub(r'["()\s]', "", sql) if is_sqlite else sql
            for of_table, name, sql in indexes
            if of_table == table and name not in OPTIONAL
        }
        for table in Base.metadata.tables
    }


def test_migrations_and_models_have_the_same_checks_and_indexes(database_url: str) -> None:
    migrated = Database(database_url)
    from_migrations = constraints(migrated)
    with migrated.engine.begin() as connection:
        Base.metadata.drop_all(connection)
        Base.metadata.create_all(connection)

    assert from_migrations == constraints(migrated)
    migrated.close()


def test_migrations_go_up_down_and_up_again(unmigrated_database_url: str, tmp_path: Path) -> None:
    settings = Settings(database_url=unmigrated_database_url, data_dir=tmp_path)
    database = Database(settings.effective_database_url)

    migrate(settings)
    assert "jobs" in inspect(database.engine).get_table_names()
    migrate(settings, "base")
    assert set(inspect(database.engine).get_table_names()) <= {"alembic_version"}
    migrate(settings)
    assert "jobs" in inspect(database.engine).get_table_names()
    database.close()


RUN_OF_0006 = """
INSERT INTO runs (id, state, trigger, fires, task, kwargs, queue, priority, kill_grace_seconds,
    retry, max_attempts, is_exclusive, attempt, sends, created_at, finished_at, log_bytes,
    log_truncated)
VALUES ('{id}', '{state}', 'manual', 1, 'sleep', '{{}}', 'default', 5, 10,
    '{{}}', 1, false, 1, 0, '{at:%Y-%m-%d %H:%M:%S.%f}', {end}, 0, false)
"""


def test_a_run_that_was_over_without_an_end_stays_in_the_lists(
    unmigrated_database_url: str, tmp_path: Path
) -> None:
    settings = Settings(database_url=unmigrated_database_url, data_dir=tmp_path)
    migrate(settings, "0006")
    database = Database(settings.effective_database_url)
    over, going_on = new_run_id(), new_run_id()
    with database.session() as session, session.begin():
        for run_id, state, end in ((over, "lost", "NULL"), (going_on, "queued", "'2026-06-15'")):
            session.execute(text(RUN_OF_0006.format(id=run_id.hex, state=state, end=end, at=NOON)))

    migrate(settings)

    for state, run_id in ((RunState.LOST, over), (RunState.QUEUED, going_on)):
        with database.reading() as session:
            page = history.page(session, history.Filter(states=(state,)), before=None, limit=9)
        assert [run.id for run in page] == [run_id]
    database.close()


def test_two_processes_may_migrate_at_once(unmigrated_database_url: str, tmp_path: Path) -> None:
    code = "import sys; from jobs_app.db.migrations import migrate; "
    code += (
        "from jobs_app.core.settings import Settings; migrate(Settings(database_url=sys.argv[1]))"
    )
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", code, unmigrated_database_url], stderr=subprocess.PIPE
        )
        for _ in range(3)
    ]
    outcomes = [
        (process.communicate(timeout=60)[1][-2000:], process.returncode) for process in processes
    ]

    assert [code for _, code in outcomes] == [0, 0, 0], outcomes
    database = Database(unmigrated_database_url)
    with database.engine.connect() as connection:
        heads = MigrationContext.configure(connection).get_current_heads()
    database.close()
    assert len(heads) == 1


def test_there_is_one_head() -> None:
    assert len(ScriptDirectory.from_config(alembic_config("sqlite://")).get_heads()) == 1


def test_a_database_that_cannot_be_opened_is_named_without_its_password(tmp_path: Path) -> None:
    url = "postgresql://ann:hunter2@127.0.0.1:1/nowhere"

    with pytest.raises(ConfigurationError) as raised:
        migrate(Settings(database_url=url, data_dir=tmp_path))

    assert "127.0.0.1:1/nowhere" in raised.value.detail
    assert "hunter2" not in raised.value.detail


def test_the_text_of_an_error_shows_no_values(database: Database) -> None:
    with database.session() as session, pytest.raises(DBAPIError) as raised:
        session.execute(text("SELECT * FROM nowhere WHERE x = :secret"), {"secret": "hunter2"})

    assert "hunter2" not in str(raised.value)


@pytest.mark.parametrize(
    "values",
    [
        {"cron": "* * * * *", "interval_seconds": 5},
        {"interval_seconds": 0, "cron": None},
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


def test_a_database_has_an_id_of_its_own_that_a_copy_shares(tmp_path: Path) -> None:
    ids = []
    for name in ("one", "two"):
        settings = Settings(database_url=f"sqlite:///{tmp_path / name}.db")
        migrate(settings)
        migrate(settings)
    shutil.copyfile(tmp_path / "one.db", tmp_path / "copy.db")
    for name in ("one", "two", "copy"):
        opened = Database(f"sqlite:///{tmp_path / name}.db")
        with opened.reading() as session:
            ids.append(installation.installation_id(session))
        with opened.session() as session:
            session.add(Installation(number=2, id=uuid4()))
            with pytest.raises(IntegrityError):
                session.flush()
        opened.close()

    assert None not in ids
    assert ids[0] == ids[2] != ids[1]


def test_a_removed_wal_is_noticed_and_its_changes_are_kept(
    tmp_path: Path,
) -> None:
    settings = Settings(database_url=f"sqlite:///{tmp_path / 'jobs.db'}")
    migrate(settings)
    database = Database(settings.effective_database_url)
    job = make_job(database)
    make_job(database)

    (tmp_path / "jobs.db-wal").unlink()
    with pytest.raises(OperationalError, match=r"jobs\.db-wal was removed or replaced"):
        make_job(database)

    with database.reading() as session:
        assert session.get(Job, job.id) is not None
    assert make_job(database).id == job.id + 2
    database.close()
