"""The servers that the other tests stand on keep their promises."""

import os
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
import sqlalchemy

from jobs_app.db.engine import Database
from tests.conftest import MIGRATED_TEMPLATE
from tests.factories import make_job, make_run, runs_of
from tests.servers import (
    DatabasePool,
    PostgresServer,
    SharedDirectory,
    ValkeyServer,
    is_alive,
    wait_until,
)

KILLED_TEST_RUN = """
import os, signal, sys
from tests.servers import PostgresServer, SharedDirectory, ValkeyServer
shared = SharedDirectory()
postgres = PostgresServer(shared.path)
postgres.start()
valkey = ValkeyServer()
valkey.start()
print(postgres.pid, valkey.pid, shared.path, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def can_connect(url: str) -> bool:
    try:
        psycopg.connect(url.replace("+psycopg", "")).close()
    except psycopg.OperationalError:
        return False
    return True


@pytest.fixture
def own_valkey():
    server = ValkeyServer()
    server.start()
    yield server
    server.close()


def test_a_crowded_machine_is_given_more_time(monkeypatch):
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    monkeypatch.setattr("os.getloadavg", lambda: (8.0, 0.0, 0.0))
    looks = iter([False] * 8 + [True])

    wait_until(lambda: next(looks), "it is the ninth look", timeout_seconds=0.2)

    monkeypatch.setattr("os.getloadavg", lambda: (0.5, 0.0, 0.0))
    with pytest.raises(AssertionError, match=r"not within 0\.2 s: it never is"):
        wait_until(lambda: False, "it never is", timeout_seconds=0.2)


def test_a_restarted_valkey_keeps_its_data_and_address(own_valkey):
    with own_valkey.client() as client:
        client.set("key", "value")
    url, pid = own_valkey.url, own_valkey.pid

    own_valkey.restart()

    with own_valkey.client() as client:
        assert client.get("key") == b"value"
    assert own_valkey.url == url
    assert own_valkey.pid != pid


def test_a_valkey_can_lose_its_data_in_a_restart(own_valkey):
    with own_valkey.client() as client:
        client.set("key", "value")

    own_valkey.restart(keep_data=False)

    with own_valkey.client() as client:
        assert client.dbsize() == 0


def test_flushall_empties_a_valkey(own_valkey):
    with own_valkey.client() as client:
        client.set("key", "value")

        own_valkey.flushall()

        assert client.dbsize() == 0


def test_a_crashed_postgresql_comes_back_with_its_databases(own_postgres):
    url, pid = own_postgres.create_database(), own_postgres.pid

    own_postgres.restart()

    assert can_connect(url)
    assert own_postgres.pid != pid
    own_postgres.drop_database(url)


def test_a_template_is_filled_once(postgres):
    filled: list[str] = []

    for _ in range(2):
        postgres.ensure_template("filled_once", filled.append)

    assert len(filled) == 1


def test_a_dropped_database_is_gone_even_with_a_connection_open(postgres):
    url = postgres.create_database()

    with psycopg.connect(url.replace("+psycopg", "")):
        postgres.drop_database(url)

    assert not can_connect(url)


@pytest.fixture
def pool(postgres, migrated_postgres):
    """A pool of this test's own, which lends one database, emptied each time."""
    made = DatabasePool(postgres, MIGRATED_TEMPLATE)
    yield made
    made.close()


def test_a_database_is_lent_again_with_no_rows_and_numbers_from_1(pool):
    url = pool.take()

    for _ in range(2):
        database = Database(url)
        job = make_job(database, name="nightly")
        make_run(database, job)
        assert (job.id, len(runs_of(database, job))) == (1, 1)
        database.close()
        pool.give_back(url)
        assert pool.take() == url

    pool.give_back(url)


@pytest.mark.parametrize(
    "change",
    [
        "ALTER TABLE jobs ADD COLUMN colour text",
        "DROP TABLE idempotency_keys",
        "DROP INDEX ix_runs_words",
        "CREATE TABLE mine (id int)",
        "UPDATE alembic_version SET version_num = 'x'",
        "ALTER ROLE postgres IN DATABASE {} SET default_transaction_read_only = on",
    ],
)
def test_a_database_that_was_built_anew_is_not_lent_again(pool, change):
    url = pool.take()
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute(change.format(url.rpartition("/")[2]))

    pool.give_back(url)

    assert not can_connect(url)


def test_a_database_is_lent_again_when_somebody_still_writes_to_it(pool):
    url = pool.take()

    with closing(psycopg.connect(url.replace("+psycopg", ""))) as left_behind:
        left_behind.execute("LOCK TABLE jobs")
        pool.give_back(url)

    assert pool.take() == url
    pool.give_back(url)


def test_what_is_set_for_another_database_changes_nothing(pool, postgres):
    url, other = pool.take(), postgres.create_database()
    with psycopg.connect(postgres.admin_url, autocommit=True) as connection:
        setting = "ALTER ROLE postgres IN DATABASE {} SET work_mem = '8MB'"
        connection.execute(setting.format(other.rpartition("/")[2]))

    pool.give_back(url)

    assert pool.take() == url
    pool.give_back(url)
    postgres.drop_database(other)


def test_a_lock_on_what_is_compared_is_ended_with_its_connection(pool):
    url = pool.take()

    with closing(psycopg.connect(url.replace("+psycopg", ""))) as left_behind:
        left_behind.execute("LOCK TABLE alembic_version")
        pool.give_back(url)

    assert pool.take() == url
    pool.give_back(url)


def test_databases_are_handed_out_migrated(database_url):
    engine = sqlalchemy.create_engine(database_url)

    assert {"jobs", "runs"} <= set(sqlalchemy.inspect(engine).get_table_names())
    engine.dispose()


def test_unmigrated_databases_are_handed_out_without_tables(unmigrated_database_url):
    engine = sqlalchemy.create_engine(unmigrated_database_url)

    assert sqlalchemy.inspect(engine).get_table_names() == []
    engine.dispose()


def test_no_server_outlives_a_killed_test_run():
    output = subprocess.run(
        [sys.executable, "-c", KILLED_TEST_RUN],
        stdout=subprocess.PIPE,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
    ).stdout

    postgres_pid, valkey_pid, shared_path = output.split()
    wait_until(lambda: not is_alive(int(postgres_pid)), "PostgreSQL ended")
    wait_until(lambda: not is_alive(int(valkey_pid)), "Valkey ended")
    wait_until(lambda: not Path(shared_path).exists(), "the shared directory was removed")


def test_postgresql_starts_from_a_place_that_others_cannot_enter(monkeypatch):
    monkeypatch.setattr("tests.servers._is_open_to_all", lambda path: path == Path("/tmp"))
    shared = SharedDirectory()
    server = PostgresServer(shared.path)

    server.start()

    assert can_connect(server.admin_url)
    shared.close()
