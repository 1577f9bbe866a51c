"""Damage by the dice, for as long as you like: `pytest -m chaos --chaos-seconds 600`."""

import random
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from jobs_app.core import clock
from jobs_app.core.states import OverlapPolicy
from tests.faults.installation import Installation
from tests.integration.system import pause
from tests.servers import ValkeyServer

#: From one damage to the next, seconds: some come while the last one is not over.
PAUSES = (0.5, 12.0)


@dataclass
class Chaos:
    """An installation with two schedulers and two workers, its Valkey, and what hits them."""

    installation: Installation
    valkey: ValkeyServer
    dice: random.Random

    def kill(self, name: str) -> None:
        """kill -9 one of two processes and start it again."""
        self.installation.kill(name)
        pause(self.dice.uniform(0, 2))
        self.installation.start(name)

    def kill_scheduler(self) -> None:
        """Kill the active scheduler, or the one that stands by."""
        self.kill(self.dice.choice(["scheduler-1", "scheduler-2"]))

    def kill_worker(self) -> None:
        """Kill a worker with all that it works on."""
        self.kill(self.dice.choice(["worker-1", "worker-2"]))

    def freeze(self) -> None:
        """Freeze a process for shorter or longer than its deadlines."""
        name = self.dice.choice(["scheduler-1", "scheduler-2", "worker-1", "worker-2"])
        frozen = self.installation.freeze(name)
        pause(self.dice.choice([1.0, 3.0, 8.0]))
        self.installation.thaw(frozen)

    def empty_redis(self) -> None:
        """FLUSHALL."""
        self.valkey.flushall()

    def kill_redis(self) -> None:
        """Kill Valkey and start it with what it had, or with nothing."""
        self.valkey.kill()
        pause(self.dice.uniform(0, 4))
        self.valkey.restart(keep_data=self.dice.random() < 0.5)

    def freeze_redis(self) -> None:
        """Freeze Valkey."""
        self.valkey.pause()
        pause(self.dice.uniform(1, 8))
        self.valkey.resume()


@pytest.mark.chaos
@pytest.mark.timeout(0)
def test_any_damage_in_any_order_loses_and_doubles_nothing(
    installation: Installation, own_valkey: ValkeyServer, request: pytest.FixtureRequest
) -> None:
    seed = random.randrange(10**6)
    print(f"seed {seed}")
    dice = random.Random(seed)
    chaos = Chaos(installation, own_valkey, dice)
    for name in ("worker-1", "worker-2", "scheduler-1", "scheduler-2"):
        installation.start_ready(name)
    free = installation.record()
    exclusive = installation.record(
        seconds=0.5, interval_seconds=3, overlap_policy=OverlapPolicy.BUFFER_ALL
    )
    # They fire in the same second, so that they are in each other's way.
    keyed = [
        installation.record(
            seconds=0.5,
            interval_seconds=4,
            overlap_policy=OverlapPolicy.BUFFER_ALL,
            concurrency_key="db-main",
            concurrency_limit=1,
        )
        for _ in range(2)
    ]
    damages: list[Callable[[], None]] = [
        chaos.kill_scheduler,
        chaos.kill_worker,
        chaos.freeze,
        chaos.empty_redis,
        chaos.kill_redis,
        chaos.freeze_redis,
    ]
    end = clock.now().timestamp() + request.config.getoption("--chaos-seconds")

    # Time-outs overlap: lateness is judged only after the last damage.
    with installation.fault(f"chaos of seed {seed}", recovery_seconds=60, excuses=["lost"]):
        while clock.now().timestamp() < end:
            damage = dice.choice(damages)
            print(f"{clock.now().isoformat()} {damage.__name__}")
            damage()
            pause(dice.uniform(*PAUSES))

    installation.wait_for_runs(free, 5, seconds=60)
    # One of the pair waits for the other.
    verdict = installation.assert_right(
        free, exclusive, *keyed, settle_seconds=120, on_time_seconds=5
    )
    print(verdict)
