"""Redis emptied, killed, wiped and frozen while jobs fire: late at most, never lost or doubled."""

import shutil
from collections.abc import Callable

import pytest

from tests.faults.installation import Installation
from tests.integration.system import pause
from tests.redbeat_scores import scores
from tests.servers import ValkeyServer, wait_until

#: The next look at the database, and the resending of what was queued.
EMPTIED_SECONDS = 20.0

#: The worker's consumer comes back, then the same.
BACK_SECONDS = 25.0


def emptied(valkey: ValkeyServer) -> None:
    valkey.flushall()


def killed(valkey: ValkeyServer) -> None:
    valkey.kill()
    pause(1)
    valkey.restart()


def wiped(valkey: ValkeyServer) -> None:
    valkey.kill()
    pause(1)
    valkey.restart(keep_data=False)


def frozen(valkey: ValkeyServer) -> None:
    valkey.pause()
    pause(10)
    valkey.resume()


def away(valkey: ValkeyServer) -> None:
    valkey.kill()
    pause(30)
    valkey.restart()


def full(valkey: ValkeyServer) -> None:
    """It answers, and takes nothing."""
    with valkey.client() as redis:
        redis.config_set("maxmemory", 1)
        pause(5)
        redis.config_set("maxmemory", 0)


def demoted(valkey: ValkeyServer) -> None:
    """Another server was made the master: this one may only be read."""
    with valkey.client() as redis:
        redis.replicaof("127.0.0.1", "1")
        pause(5)
        redis.replicaof("NO", "ONE")


@pytest.mark.parametrize(
    "database_url, damage, recovery_seconds",
    [
        pytest.param("sqlite", emptied, EMPTIED_SECONDS, marks=pytest.mark.nightly),
        ("postgresql", wiped, BACK_SECONDS),
        # What comes back then is less than what a backup of long ago brings, below.
        pytest.param("sqlite", killed, BACK_SECONDS, marks=pytest.mark.nightly),
        pytest.param("postgresql", frozen, BACK_SECONDS, marks=pytest.mark.nightly),
        pytest.param("sqlite", full, BACK_SECONDS, marks=pytest.mark.nightly),
        pytest.param("postgresql", demoted, BACK_SECONDS, marks=pytest.mark.nightly),
        pytest.param("sqlite", away, BACK_SECONDS, marks=pytest.mark.chaos),
        # Whether the other database is behind it makes no difference that we know of.
        pytest.param("postgresql", emptied, EMPTIED_SECONDS, marks=pytest.mark.chaos),
        pytest.param("sqlite", wiped, BACK_SECONDS, marks=pytest.mark.chaos),
        pytest.param("postgresql", killed, BACK_SECONDS, marks=pytest.mark.chaos),
        pytest.param("sqlite", frozen, BACK_SECONDS, marks=pytest.mark.chaos),
    ],
    indirect=["database_url"],
)
def test_what_happens_to_redis_loses_and_doubles_nothing(
    installation: Installation,
    own_valkey: ValkeyServer,
    damage: Callable[[ValkeyServer], None],
    recovery_seconds: float,
) -> None:
    installation.start_ready("worker")
    installation.start_ready("scheduler-1")
    installation.start_ready("scheduler-2")
    often, seldom = installation.record(), installation.record(interval_seconds=3)
    installation.wait_for_runs(often, 3)

    with installation.fault(damage.__name__, recovery_seconds=recovery_seconds):
        damage(own_valkey)
    installation.wait_for_runs(often, 5, seconds=recovery_seconds)

    verdict = installation.assert_right(often, seldom)
    assert verdict.started == verdict.owed
    # As good as new: one scheduler is active, and all entries stand where they should.
    assert sorted(installation.schedulers().values()) == [False, True]
    assert set(scores(installation.projection)) == {often.id, seldom.id}


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_redis_that_is_as_it_was_long_ago_starts_nothing_twice(
    installation: Installation, own_valkey: ValkeyServer
) -> None:
    installation.start_ready("scheduler")
    job = installation.record()
    wait_until(lambda: len(installation.runs(job)) >= 3, "messages wait for a worker")
    # A second later the file has them too.
    pause(1.5)
    data = own_valkey.directory / "data"
    backup = shutil.copytree(data, own_valkey.directory / "backup")
    installation.start_ready("worker")
    installation.wait_for_runs(job, 3)

    with installation.fault("a backup of Redis", recovery_seconds=BACK_SECONDS):
        own_valkey.kill()
        shutil.rmtree(data)
        shutil.copytree(backup, data)
        own_valkey.start()
        with own_valkey.client() as redis:
            key = f"{installation.settings.redis_prefix}default"
            assert sum(redis.llen(name) for name in redis.keys(f"{key}*")) >= 3
    installation.wait_for_runs(job, 5, seconds=BACK_SECONDS)

    # The first fires waited for the worker.
    verdict = installation.assert_right(job, on_time_seconds=15)
    assert verdict.started == verdict.owed
