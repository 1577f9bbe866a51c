"""A Redis that is set up wrong on purpose: a real one."""

from collections.abc import Iterator
from pathlib import Path
from shutil import rmtree
from uuid import uuid4

import pytest
from redis import Redis
from redis.exceptions import AuthenticationError, ResponseError

from jobs_app.core.settings import Settings
from jobs_app.jobs.doctor import redis as checks
from jobs_app.jobs.doctor.findings import Finding
from tests.redis_servers import RedisProgram, running
from tests.servers import ValkeyServer, wait_until

PREFIX = "doctor:"


@pytest.fixture
def client(valkey: ValkeyServer, tmp_path: Path) -> Iterator[Redis]:
    """A connection as the doctor has it."""
    made = checks.connect(Settings(data_dir=tmp_path, redis_url=valkey.url))
    yield made
    made.close()


def test_a_policy_that_drops_keys(client: Redis) -> None:
    client.config_set("maxmemory-policy", "allkeys-lru")
    try:
        (found,) = checks.eviction(client)
    finally:
        client.config_set("maxmemory-policy", "noeviction")

    assert (found.check, found.level) == ("redis_eviction", "warning")
    assert "allkeys-lru" in found.sentence
    assert list(checks.eviction(client)) == []


def test_a_full_redis_a_replica_and_one_that_cannot_save_take_no_writes(client: Redis) -> None:
    def found(*commands: str, undo: str) -> list[Finding]:
        try:
            for command in commands:
                client.execute_command(*command.split())
            return list(checks.writes(client, PREFIX))
        finally:
            client.execute_command(*undo.split())

    full = found("CONFIG SET maxmemory 1", undo="CONFIG SET maxmemory 0")
    replica = found("REPLICAOF 127.0.0.1 1", undo="REPLICAOF NO ONE")
    alone = found("CONFIG SET min-replicas-to-write 1", undo="CONFIG SET min-replicas-to-write 0")

    for findings, word, remedy in (
        (full, "is full", "maxmemory"),
        (replica, "is a replica", "redis+sentinel://"),
        (alone, "min-replicas-to-write", "replicas"),
    ):
        (finding,) = findings
        assert (finding.check, finding.level) == ("redis_writes", "error")
        assert word in finding.sentence
        assert remedy in finding.remedy
    assert list(checks.writes(client, PREFIX)) == []


def test_a_redis_that_cannot_save_takes_no_writes() -> None:
    server = RedisProgram("save 3600 1\n")
    with running([server]), server.client("") as client:
        rmtree(server.directory)
        client.set("a", "1")
        client.bgsave()
        wait_until(
            lambda: client.info("persistence")["rdb_last_bgsave_status"] == "err", "it fails"
        )

        (finding,) = checks.writes(client, PREFIX)

    assert (finding.check, finding.level) == ("redis_writes", "error")
    assert "cannot save to its disk" in finding.sentence


@pytest.mark.parametrize(
    "error, url, word, remedy",
    [
        ("NOAUTH", "redis://cache:6379/0", "wants a password", "redis://USER:PASSWORD@HOST"),
        ("WRONGPASS", "redis://:no@cache:6379/0", "refuses the user", "Correct the user"),
    ],
)
def test_each_refusal_has_a_remedy_of_its_own(
    tmp_path: Path, error: str, url: str, word: str, remedy: str
) -> None:
    settings = Settings(data_dir=tmp_path, redis_url=url)

    found = checks.refused(AuthenticationError(error), settings)

    assert word in found.sentence
    assert remedy in found.remedy


def test_the_protected_mode_is_named_in_one_sentence(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, redis_url="redis://cache:6379/0")
    # The answer of Redis goes on for a page.
    answer = ResponseError("DENIED Redis is running in protected mode because protected mode is …")

    found = checks.refused(answer, settings)

    assert found.sentence.startswith("Redis is in protected mode")
    assert "requirepass" in found.remedy


@pytest.mark.parametrize(
    "url, is_found",
    [
        ("redis://cache:6379/0", True),
        ("redis://:hunter2@cache:6379/0", False),
        ("rediss://cache:6379/0?password=x", False),
        ("unix:///run/redis.sock", False),
    ],
)
def test_a_redis_without_a_password(tmp_path: Path, url: str, is_found: bool) -> None:
    settings = Settings(data_dir=tmp_path, redis_url=url)

    found = [finding.check for finding in checks.password(settings)]

    assert found == (["redis_password"] if is_found else [])


def test_a_prefix_that_another_installation_has(client: Redis, tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, redis_prefix=PREFIX)
    ours, theirs = uuid4(), uuid4()

    assert list(checks.prefix(client, settings, ours)) == []
    client.set(f"{PREFIX}installation", str(theirs), ex=60)
    try:
        (found,) = checks.prefix(client, settings, ours)
        assert list(checks.prefix(client, settings, theirs)) == []
    finally:
        client.delete(f"{PREFIX}installation")

    assert (found.check, found.level) == ("redis_prefix", "error")


def test_its_clock_is_read(client: Redis) -> None:
    reading = checks.read_clock(client)

    assert reading is not None
    assert abs(reading.ahead) < 1 + reading.margin
