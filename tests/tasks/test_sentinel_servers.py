"""What real Sentinels name, and what is remembered of it."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobs_app.core.settings import Settings
from jobs_app.tasks import sentinel_servers
from jobs_app.tasks.context import HttpFailed
from jobs_app.tasks.installation_policy import http_policy
from tests.redis_servers import Watched


@pytest.fixture
def watched() -> Iterator[Watched]:
    """A master, a replica and one Sentinel."""
    group = Watched(sentinels=1)
    with group.running():
        yield group


def test_an_http_task_reaches_no_server_that_the_sentinels_name(
    watched: Watched, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(data_dir=tmp_path, redis_url=watched.url, allow_private_addresses=True)
    policy = http_policy(settings)
    programs = [watched.master, *watched.replicas, *watched.sentinels]

    for program in programs:
        with pytest.raises(HttpFailed, match="own server of JOBS_REDIS_URL"):
            asyncio.run(policy.checked_addresses("127.0.0.1", program.port))
    assert asyncio.run(policy.checked_addresses("127.0.0.1", watched.master.tls_port))

    # What was named stays ours when no Sentinel answers any more, and they are asked once.
    watched.sentinels[0].kill()
    monkeypatch.setattr(sentinel_servers, "FRESH_SECONDS", 0.0)
    for program in programs:
        with pytest.raises(HttpFailed, match="own server of JOBS_REDIS_URL"):
            asyncio.run(policy.checked_addresses("127.0.0.1", program.port))


def test_sentinels_are_asked_once_in_a_while(
    watched: Watched, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    look_up = http_policy(Settings(data_dir=tmp_path, redis_url=watched.url)).look_up_own
    assert look_up is not None
    with watched.sentinels[0].client("of-sentinel") as sentinel:

        def connections() -> int:
            return int(sentinel.info("stats")["total_connections_received"])

        look_up()
        once = connections()
        look_up()
        assert connections() == once
        monkeypatch.setattr(sentinel_servers, "FRESH_SECONDS", 0.0)
        look_up()
        assert connections() == once + 1
