"""The databases that simulations use, and how many seeds are played."""

import logging
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp

import pytest

from jobs_app.core.settings import Settings
from jobs_app.db.migrations import migrate
from tests.conftest import DEFAULT_MARKS, MIGRATED_TEMPLATE
from tests.servers import PostgresServer
from tests.simulation.store import Store

#: Where there is memory to keep a file in: a simulation commits some fifty times a second.
MEMORY = Path("/dev/shm")


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("simulation")
    group.addoption(
        "--simulation-seeds",
        type=int,
        metavar="N",
        help="play N seeds of the simulation, new ones each time",
    )
    group.addoption(
        "--simulation-seed",
        type=int,
        metavar="S",
        help="play seed S alone, and print its course",
    )
    group.addoption(
        "--mutant-search",
        action="store_true",
        help="seek anew the seed that kills each mutant, and print the table",
    )


def pytest_configure(config: pytest.Config) -> None:
    # The seeds that are asked for are divided among all parts, also those of the nightly profile.
    is_default = config.option.markexpr in ("", DEFAULT_MARKS)
    if config.getoption("--simulation-seeds", default=None) and is_default:
        config.option.markexpr = "not chaos"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    # It writes the table: whoever runs all tests does not ask for that.
    if not config.getoption("--mutant-search", default=False):
        searches = [item for item in items if item.get_closest_marker("search")]
        config.hook.pytest_deselected(items=searches)
        items[:] = [item for item in items if item not in searches]


@pytest.fixture(autouse=True)
def _quiet_logs() -> Iterator[None]:
    """Keep the product's log of some thousand disasters out of pytest's memory."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(before)


@pytest.fixture(scope="session")
def sqlite_store(migrated_sqlite: Path) -> Iterator[Store]:
    """A SQLite file for all simulations of this test process."""
    folder = Path(mkdtemp(prefix="jobs-app-simulation-", dir=MEMORY if MEMORY.is_dir() else None))
    shutil.copyfile(migrated_sqlite, folder / "jobs.db")
    store = Store(f"sqlite:///{folder / 'jobs.db'}")
    yield store
    store.close()
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def postgres_store(postgres: PostgresServer) -> Iterator[Store]:
    """A PostgreSQL database for all simulations of this test process."""
    with fresh_postgres(postgres) as store:
        yield store


@contextmanager
def fresh_postgres(postgres: PostgresServer) -> Iterator[Store]:
    """Open a migrated PostgreSQL database, and drop it in the end."""
    template = postgres.ensure_template(MIGRATED_TEMPLATE, _migrate)
    url = postgres.create_database(template=template)
    store = Store(url)
    yield store
    store.close()
    postgres.drop_database(url)


def _migrate(url: str) -> None:
    migrate(Settings(database_url=url))
