"""A Redis that is set up wrong on purpose: a real one."""

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from redis import Redis

from jobs_app.core.settings import Settings
from jobs_app.jobs.doctor import redis as checks
from tests.servers import ValkeyServer

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
