"""What every test may ask for: real servers, started on first use, and fresh databases."""

import fcntl
import gc
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from uuid import uuid4
from zlib import crc32

import hypothesis
import pytest

from jobs_app.core.settings import Settings
from jobs_app.db.engine import Database
from jobs_app.db.migrations import migrate
from jobs_app.jobs.redbeat_entries import Projection
from jobs_app.worker.process_state.log_setup import LogSetup
from tests.engines import EnginePool
from tests.loud_exits import LoudExits
from tests.plans import fill
from tests.profiles import NIGHTLY, leave_parameters_to_nightly
from tests.servers import (
    NEVER_FORK,
    DatabasePool,
    DebianPostgres,
    ExternalPostgres,
    PostgresServer,
    SharedDirectory,
    ValkeyServer,
)
from tests.temporary_files import use_memory
from tests.turns import Turns

MIGRATED_TEMPLATE = "migrated"
#: Tests that mostly wait, for processes and for time to pass, and how long one takes, seconds.
WAITING = {
    "/faults/test_neighbours": 40.0,
    "/faults/test_network": 30.0,
    "/api/test_schemathesis": 25.0,
    "/integration/test_secrets": 25.0,
    # It works all the time, and for long: begun as the last one, it is left alone.
    "/simulation/test_mutants": 20.0,
    "/faults/test_debian_postgres": 20.0,
    "/faults/test_machine": 20.0,
    "/faults/test_concurrency": 15.0,
    "/faults/test_scheduler": 15.0,
    "/faults/test_worker": 15.0,
    "/faults/": 10.0,
    "/core/test_process_memory": 8.0,
    "/integration/": 6.0,
    "/up/": 3.0,
    "/test_run.py": 3.0,
    "/web/test_server.py": 2.0,
    "/pages/browser/": 2.0,
    "/test_log_stream": 1.0,
}
#: Tests that share a browser, processes or an installation, which take long to start: one process
#: of pytest-xdist runs all of a group. Those with the browser come first.
BROWSER = "/pages/browser/"
GROUPS = (
    *(BROWSER, "/integration/test_cli", "/up/", "/test_run.py", "/test_packaging.py"),
    # One of them looks at all processes that start, also at those of the other.
    "/core/test_process_memory.py",
)
#: How many more objects there are than before, and how many collections of each generation before
#: one of the next.
GC_THRESHOLDS = (20_000, 20, 50)
#: At which part of all others the last test that waits is started.
LAST_WAIT = 0.9
#: Tests of what stands above the ledger: the default profile runs each on one database, two thirds
#: on SQLite and one on PostgreSQL. Those of db/, runs/, scheduler/ and schedules/, the
#: simulation and the faults say themselves which databases they need.
ABOVE_THE_LEDGER = tuple(
    f"tests/{name}/"
    for name in ("accounts", "cli", "jobs", "notifications", "secrets", "web", "worker")
)
DATABASES = ("sqlite", "postgresql")
# How long an example takes says something of the machine, not of the product.
hypothesis.settings.register_profile(
    "crowded", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("crowded")

#: The default profile; `--nightly` runs all that there is.
DEFAULT_MARKS = "not chaos and not nightly"
#: How long chaos goes on in each profile, seconds.
CHAOS_SECONDS, NIGHTLY_CHAOS_SECONDS = 60.0, 600.0
SHARED_DIRECTORY = pytest.StashKey[SharedDirectory]()
SHARED_DIRECTORY_VARIABLE = "JOBS_TESTS_SHARED_DIRECTORY"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--nightly",
        action="store_true",
        help="run also the tests marked nightly or chaos",
    )
    parser.addoption(
        "--chaos-seconds",
        type=float,
        help="how long the tests marked chaos do damage (with -m chaos)",
    )


def pytest_configure(config: pytest.Config) -> None:
    # A shell that runs the tests in the background has both ignored, and all that the tests
    # start would inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGQUIT, signal.SIG_DFL)
    is_nightly = config.getoption("--nightly")
    if not config.option.markexpr and not is_nightly:
        config.option.markexpr = DEFAULT_MARKS
    if is_nightly:
        os.environ[NEVER_FORK] = os.environ[NIGHTLY] = "1"
    if config.option.chaos_seconds is None:
        config.option.chaos_seconds = NIGHTLY_CHAOS_SECONDS if is_nightly else CHAOS_SECONDS
    # The workers of pytest-xdist inherit the variable from the process that started them.
    if "PYTEST_XDIST_WORKER" in os.environ:
        config.pluginmanager.register(LoudExits())
    else:
        if not is_nightly:
            use_memory()
        config.stash[SHARED_DIRECTORY] = SharedDirectory()
        os.environ[SHARED_DIRECTORY_VARIABLE] = str(config.stash[SHARED_DIRECTORY].path)
        # An installation without a data directory of its own writes nothing into the home.
        os.environ["XDG_DATA_HOME"] = str(config.stash[SHARED_DIRECTORY].path / "data")


def pytest_xdist_make_scheduler(config: pytest.Config) -> Turns:
    return Turns(config, _group)


def pytest_itemcollected(item: pytest.Item) -> None:
    """Leave the second database of a test above the ledger to the nightly profile."""
    callspec = getattr(item, "callspec", None)
    database = callspec.params.get("database_url") if callspec else None
    if database not in DATABASES or not item.nodeid.startswith(ABOVE_THE_LEDGER):
        return
    # The same choice on each machine, and for all the other parameters of a test another one.
    name = item.nodeid.replace(database, "", 1)
    if database != DATABASES[crc32(name.encode()) % 3 == 0] and not _names_its_database(item):
        item.add_marker(pytest.mark.nightly)


def _names_its_database(item: pytest.Item) -> bool:
    marks = item.iter_markers("parametrize")
    return any("database_url" in str(mark.args[0]) for mark in marks)


@pytest.hookimpl(wrapper=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> Iterator[None]:
    """Choose the parameters of the default profile, and the order of what is selected."""
    leave_parameters_to_nightly(items)
    yield
    _put_in_order(items)


def _put_in_order(items: list[pytest.Item]) -> None:
    """Start tests that wait evenly among the others, so that no processor is ever without work.

    The longest come first, and quick ones last: no process is left alone in the end. The
    largest group comes before all.
    """
    others = [item for item in items if not _wait_seconds(item)]
    waiting = sorted((item for item in items if _wait_seconds(item)), key=_wait_seconds)[::-1]
    whole = sum(map(_wait_seconds, waiting)) / LAST_WAIT
    placed = [(index / len(others), item) for index, item in enumerate(others)]
    begun, first_of = 0.0, dict[str, float]()
    for item in waiting:
        place = begun / whole
        if group := _group(item.nodeid):
            place = first_of.setdefault(group, place)
        placed.append((place, item))
        begun += _wait_seconds(item)
    first = [item for _, item in placed if BROWSER in item.nodeid]
    placed = [pair for pair in placed if BROWSER not in pair[1].nodeid]
    items[:] = first + [item for _, item in sorted(placed, key=lambda pair: pair[0])]


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """Let the garbage collector pass over the modules and tests, and come less often.

    It finds next to nothing: in the collection it would do a seventh of all the work, and
    later a twentieth.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        gc.collect()
        gc.freeze()
        gc.set_threshold(*GC_THRESHOLDS)


def _group(nodeid: str) -> str | None:
    return next((group for group in GROUPS if group in nodeid), None)


def _wait_seconds(item: pytest.Item) -> float:
    return next((seconds for part, seconds in WAITING.items() if part in item.nodeid), 0.0)


def pytest_unconfigure(config: pytest.Config) -> None:
    if SHARED_DIRECTORY in config.stash:
        config.stash[SHARED_DIRECTORY].close()


@pytest.fixture(autouse=True)
def _same_process() -> Iterator[None]:
    """Undo what a test, and modules that it imports, do to the module logging and to the umask."""
    saved, umask = LogSetup(), os.umask(0o022)
    os.umask(umask)
    yield
    saved.restore()
    os.umask(umask)


@pytest.fixture(scope="session")
def valkey() -> Iterator[ValkeyServer]:
    """A Valkey of this test process alone, which tests may kill and must restart."""
    server = ValkeyServer()
    server.start()
    yield server
    server.close()


@pytest.fixture(scope="session")
def redis_url(request: pytest.FixtureRequest) -> str:
    """The address of a Redis (JOBS_TEST_REDIS_URL, else our own), in redis-py's form."""
    if url := os.environ.get("JOBS_TEST_REDIS_URL"):
        return url
    server: ValkeyServer = request.getfixturevalue("valkey")
    return server.url


@pytest.fixture
def redis_settings(redis_url: str) -> Settings:
    """Settings whose keys in Redis are those of one test alone."""
    return Settings(redis_url=redis_url, redis_prefix=f"test-{uuid4()}:")


@pytest.fixture
def projection(redis_settings: Settings) -> Iterator[Projection]:
    """The entries of RedBeat of one test."""
    opened = Projection(redis_settings)
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def postgres() -> PostgresServer:
    """The PostgreSQL that all processes of this test run share."""
    url = os.environ.get("JOBS_TEST_DATABASE_URL")
    directory = Path(os.environ[SHARED_DIRECTORY_VARIABLE])
    server = ExternalPostgres(url, directory) if url else PostgresServer(directory)
    server.start()
    return server


@pytest.fixture
def own_postgres() -> Iterator[PostgresServer]:
    """A PostgreSQL of this test alone: it may be restarted and killed."""
    directory = SharedDirectory()
    server = PostgresServer(directory.path)
    server.start()
    yield server
    directory.close()


@pytest.fixture
def debian_postgres() -> Iterator[DebianPostgres]:
    """Debian's PostgreSQL as people have it, of this test alone."""
    if DebianPostgres.newest_programs() is None:
        pytest.skip("Debian's package postgresql is not installed")
    directory = SharedDirectory()
    server = DebianPostgres(directory.path)
    server.start()
    yield server
    directory.close()


@pytest.fixture(scope="session")
def migrated_sqlite() -> Path:
    """A SQLite file with all migrations applied, to be copied and never opened."""
    folder = Path(os.environ[SHARED_DIRECTORY_VARIABLE])
    return _ensure_sqlite(
        "migrated",
        lambda draft: migrate(Settings(data_dir=folder, database_url=f"sqlite:///{draft}")),
    )


def _ensure_sqlite(name: str, fill: Callable[[Path], object]) -> Path:
    """Return the file *name* once it is there, made by *fill(draft)*, once in a test run."""
    folder = Path(os.environ[SHARED_DIRECTORY_VARIABLE])
    file = folder / f"{name}.db"
    with (folder / "sqlite_lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not file.exists():
            draft = folder / f"{name}_draft.db"
            fill(draft)
            draft.rename(file)
    return file


@pytest.fixture(scope="session")
def migrated_postgres(postgres: PostgresServer) -> Iterator[DatabasePool]:
    """Databases of PostgreSQL with all migrations applied, to be lent."""
    pool = DatabasePool(postgres, postgres.ensure_template(MIGRATED_TEMPLATE, _migrate_postgres))
    yield pool
    pool.close()


@pytest.fixture(scope="session")
def sqlite_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of each test's file of SQLite; tests that start processes have one each."""
    return tmp_path_factory.mktemp("sqlite")


@pytest.fixture(params=DATABASES)
def database_url(request: pytest.FixtureRequest, sqlite_folder: Path) -> Iterator[str]:
    """The URL of a migrated, empty database of this test's own: once SQLite, once PostgreSQL.

    On SQLite it is the same URL for each test, so that an engine can be lent again.
    """
    if request.param == "sqlite":
        for file in sqlite_folder.glob("jobs.db*"):
            # Not written over: whoever still has it open keeps it.
            file.unlink()
        migrated: Path = request.getfixturevalue("migrated_sqlite")
        shutil.copyfile(migrated, sqlite_folder / "jobs.db")
        yield f"sqlite:///{sqlite_folder / 'jobs.db'}"
        return
    pool: DatabasePool = request.getfixturevalue("migrated_postgres")
    url = pool.take()
    yield url
    pool.give_back(url)


@pytest.fixture(params=DATABASES)
def unmigrated_database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a database without any table: once SQLite, once PostgreSQL."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'unmigrated.db'}"
        return
    server: PostgresServer = request.getfixturevalue("postgres")
    url = server.create_database()
    yield url
    server.drop_database(url)


def _migrate_postgres(url: str) -> None:
    migrate(Settings(database_url=url))


@pytest.fixture
def long_history(
    request: pytest.FixtureRequest, database_url: str, migrated_sqlite: Path, tmp_path: Path
) -> Iterator[Database]:
    """A database of this test's own with the many runs of plans.py, a copy of one filled once."""
    if database_url.startswith("sqlite"):

        def fill_copy(draft: Path) -> None:
            shutil.copyfile(migrated_sqlite, draft)
            _fill(f"sqlite:///{draft}")

        shutil.copyfile(_ensure_sqlite("history", fill_copy), tmp_path / "history.db")
        with closing(Database(f"sqlite:///{tmp_path / 'history.db'}")) as opened:
            yield opened
        return
    server: PostgresServer = request.getfixturevalue("postgres")
    template = server.ensure_template("history", _fill, template=MIGRATED_TEMPLATE)
    url = server.create_database(template=template)
    with closing(Database(url)) as opened:
        yield opened
    server.drop_database(url)


def _fill(url: str) -> None:
    with closing(Database(url)) as opened:
        fill(opened)


@pytest.fixture(scope="session")
def engine_pool() -> EnginePool:
    """The databases that tests have opened, without connections."""
    return EnginePool()


@pytest.fixture
def database(database_url: str, engine_pool: EnginePool) -> Iterator[Database]:
    """A migrated, empty database of this test's own, opened as our processes open it."""
    with engine_pool.lend(database_url) as opened:
        yield opened


@pytest.fixture
def plain(database: Database, database_url: str, engine_pool: EnginePool) -> Iterator[Database]:
    """The same database, opened as a worker opens it."""
    with engine_pool.lend(database_url, has_single=True) as opened:
        yield opened
