"""The engine, on both databases."""

import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError, OperationalError

from jobs_app.core.errors import ConfigurationError
from jobs_app.core.settings import Settings
from jobs_app.db.engine import (
    READ_ONLY,
    SQLITE_CACHE_KIB,
    SQLITE_WAL_PAGES,
    WAIT_SECONDS,
    Database,
    engine_options,
    make_engine,
    reader_of,
)
from jobs_app.db.migrations import migrate
from jobs_app.db.models.jobs import Job
from tests.factories import make_job
from tests.servers import PostgresServer

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


def test_connections_may_open_a_new_sqlite_file_at_the_same_time(tmp_path: Path) -> None:
    def connect(engine: Engine) -> str:
        start.wait()
        with engine.connect() as connection:
            return str(connection.exec_driver_sql("PRAGMA journal_mode").scalar_one())

    start = threading.Barrier(6)
    for number in range(25):
        engines = [make_engine(f"sqlite:///{tmp_path}/{number}.db") for _ in range(6)]
        with ThreadPoolExecutor(6) as threads:
            assert list(threads.map(connect, engines)) == ["wal"] * 6
        for engine in engines:
            engine.dispose()


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


def test_the_text_of_an_error_shows_no_values(database: Database) -> None:
    with database.session() as session, pytest.raises(DBAPIError) as raised:
        session.execute(text("SELECT * FROM nowhere WHERE x = :secret"), {"secret": "hunter2"})

    assert "hunter2" not in str(raised.value)


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


def test_options_in_the_url_of_postgresql_come_on_top_of_ours(postgres: PostgresServer) -> None:
    database = Database(f"{postgres.admin_url}?options=-c%20work_mem%3D7MB%20-c%20jit%3Don")

    with database.reading() as session:
        settings = [
            session.execute(text(f"SHOW {name}")).scalar_one()
            for name in ("work_mem", "jit", "statement_timeout")
        ]
    database.close()

    assert settings == ["7MB", "on", "30s"]


def test_postgresql_compiles_none_of_our_statements(postgres: PostgresServer) -> None:
    database = Database(postgres.admin_url)

    with database.reading() as session:
        assert session.execute(text("SHOW jit")).scalar_one() == "off"
    database.close()


def test_the_reader_of_a_session_reads_while_others_write(database: Database) -> None:
    with database.session() as session, reader_of(session) as reader:
        session.execute(text("UPDATE installation SET id = id"))

        seen = reader.execute(text("SELECT count(*) FROM installation")).scalar_one()

        assert seen == 1


@pytest.mark.parametrize(
    "url",
    [
        "postgresql+psycopg://localhost/db?port=abc",
        "postgresql+psycopg://localhost/db?host=a:1&host=b:y",
        "sqlite:///db?timeout=soon",
        "sqlite:///db?cached_statements=many",
    ],
)
def test_an_option_with_a_value_of_another_type_is_refused_with_a_sentence(url: str) -> None:
    with pytest.raises(ConfigurationError, match=r"JOBS_DATABASE_URL is refused: .*\.$"):
        Database(url)


def test_an_option_that_postgresql_does_not_have_is_refused_with_a_sentence() -> None:
    with pytest.raises(ConfigurationError, match='invalid connection option "sslmod"') as raised:
        engine_options("postgresql+psycopg://ann:hunter2@db/jobs?sslmod=require")

    assert "hunter2" not in raised.value.detail
    engine_options("postgresql+psycopg://db/jobs?sslmode=require&application_name=a&options=-cx=1")


def test_a_note_waits_for_no_writer_and_the_next_writer_waits(tmp_path: Path) -> None:
    engine = make_engine(f"sqlite:///{tmp_path / 'jobs.db'}", pool_size=2, max_overflow=0)
    noting = engine.execution_options(**{WAIT_SECONDS: 0})
    with engine.connect() as holder:
        holder.execute(text("CREATE TABLE x (y)"))
        with pytest.raises(OperationalError), noting.connect() as other:
            other.execute(text("SELECT 1"))

    with engine.connect() as one, engine.execution_options(**{READ_ONLY: True}).connect() as two:
        waits = [each.scalar(text("PRAGMA busy_timeout")) for each in (one, two)]
    engine.dispose()
    assert waits == [30_000, 30_000]
