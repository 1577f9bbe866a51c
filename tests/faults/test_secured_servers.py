"""Servers as a careful administrator has them: TLS both ways, and a Redis user with few rights."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
import pytest
from redis import Redis

from jobs_app.core import clock
from jobs_app.core.settings import Settings
from jobs_app.db.engine import Database
from jobs_app.db.migrations import migrate
from jobs_app.jobs.doctor.examine import examine
from jobs_app.jobs.doctor.findings import Level
from tests.certificates import Authority
from tests.faults.installation import Installation
from tests.redis_servers import PASSWORD, RedisProgram, running
from tests.servers import DebianPostgres, SharedDirectory

pytestmark = pytest.mark.nightly

DOCUMENT = Path(__file__).parents[2] / "docs" / "servers.md"

#: The whole name of a host must be in its certificate.
HOST = "localhost"


class TlsPostgres(DebianPostgres):
    """A PostgreSQL that takes encrypted connections alone, of users with a certificate."""

    def __init__(self, shared_directory: Path, authority: Authority) -> None:
        super().__init__(shared_directory)
        self._authority = authority
        self._client = authority.issue("postgres")
        files = {"ca": authority.file}
        files["cert"], files["key"] = authority.issue(HOST)
        self.own_settings |= {"ssl": "on", "hba_file": str(self.directory / "pg_hba.conf")}
        for kind, file in files.items():
            self.own_settings[f"ssl_{kind}_file"] = str(self.directory / file.name)

    def _initialise(self) -> None:
        super()._initialise()
        owner = self._data.stat()
        for name in ("ca_file", "cert_file", "key_file"):
            own = Path(self.own_settings[f"ssl_{name}"])
            shutil.copy(self._authority.folder / own.name, own)
            os.chown(own, owner.st_uid, owner.st_gid)
        (self.directory / "pg_hba.conf").write_text("hostssl all all samehost cert\n")

    def _url(self, database: str) -> str:
        certificate, key = self._client
        options = {
            "sslmode": "verify-full",
            "sslrootcert": self._authority.file,
            "sslcert": certificate,
            "sslkey": key,
        }
        port = (self.directory / "port").read_text()
        query = "&".join(f"{name}={quote(str(value))}" for name, value in options.items())
        return f"postgresql://postgres@{HOST}:{port}/{database}?{query}"


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """An authority whose files stand in a folder of their own."""
    folder = tmp_path / "certificates"
    folder.mkdir()
    return Authority(folder)


@pytest.fixture
def tls_database_url(authority: Authority) -> Iterator[str]:
    """A migrated database that is reached by TLS, with a certificate."""
    if DebianPostgres.newest_programs() is None:
        pytest.skip("Debian's package postgresql is not installed")
    directory = SharedDirectory()
    server = TlsPostgres(directory.path, authority)
    server.start()
    url = server.create_database()
    migrate(Settings(database_url=url))
    yield url
    directory.close()


def acl_line() -> str:
    """Return the user of docs/servers.md, with the tests' password."""
    lines = DOCUMENT.read_text().splitlines()
    (line,) = [line for line in lines if line.startswith("user jobs ")]
    return line.replace(">PASSWORD", f">{PASSWORD}")


@pytest.fixture
def tls_redis(authority: Authority) -> Iterator[RedisProgram]:
    """A Redis with TLS alone, with client certificates and the documented user."""
    program = shutil.which("valkey-server") or shutil.which("redis-server")
    if program is None:
        pytest.skip("Debian's package redis-server (or valkey-server) is not installed")
    certificate, key = authority.issue(HOST)
    # What the tests' own client needs comes by a port without TLS.
    server = RedisProgram(program=Path(program))
    server.configure(
        f"requirepass {PASSWORD}\n{acl_line()}\ntls-port {server.tls_port}\n"
        f"tls-cert-file {certificate}\ntls-key-file {key}\ntls-ca-cert-file {authority.file}\n"
        "tls-auth-clients yes\nacllog-max-len 1000\n"
    )
    with running([server]):
        yield server


@pytest.fixture
def installation(
    make_installation: Callable[..., Installation],
    tls_database_url: str,
    tls_redis: RedisProgram,
    authority: Authority,
) -> Installation:
    certificate, key = authority.issue("jobs-app")
    files = {"ssl_ca_certs": authority.file, "ssl_certfile": certificate, "ssl_keyfile": key}
    query = "&".join(f"{name}={quote(str(file))}" for name, file in files.items())
    url = f"rediss://jobs:{PASSWORD}@{HOST}:{tls_redis.tls_port}/0?{query}"
    return make_installation(tls_database_url, redis_url=url)


@pytest.mark.parametrize(
    "more", [{}, {"remote_control": "all", "events": True}, {"worker_prefetch": False}]
)
def test_all_works_over_tls_and_with_the_rights_of_the_documented_user(
    installation: Installation, tls_redis: RedisProgram, more: dict[str, Any]
) -> None:
    installation.environment |= {f"JOBS_{name.upper()}": str(v) for name, v in more.items()}
    for name in ("worker", "scheduler-1", "scheduler-2"):
        installation.start_ready(name)
    job = installation.record()
    installation.wait_for_runs(job, 3)

    with installation.fault("FLUSHALL", recovery_seconds=10), tls_redis.client() as client:
        client.flushall()
        installation.wait_for_runs(job, 5)
    assert installation.app.control.inspect(timeout=5).ping()
    verdict = installation.assert_right(job)

    assert verdict.started == verdict.owed
    with tls_redis.client() as client:
        assert refusals(client) == []


def refusals(client: "Redis") -> list[tuple[object, object]]:
    """Return which commands, keys and channels the server has refused."""
    return [(entry["reason"], entry["object"]) for entry in client.acl_log()]


def test_the_doctor_finds_nothing_wrong(installation: Installation) -> None:
    for name in ("worker", "scheduler"):
        installation.start_ready(name)
    database = Database(installation.settings.effective_database_url)

    report = examine(installation.settings, database.reading, process="test", at=clock.now())
    database.close()

    of_servers = [
        (finding.check, finding.sentence)
        for finding in report.findings
        if finding.level is Level.ERROR or finding.check.startswith(("redis", "database"))
    ]
    assert of_servers == []


def test_postgresql_takes_nobody_without_a_certificate(tls_database_url: str) -> None:
    url = tls_database_url.replace("+psycopg", "").partition("&sslcert")[0]

    with pytest.raises(psycopg.OperationalError, match="certificate"):
        psycopg.connect(url)
