"""A module of the user that cannot be imported stops no tasks but its own."""

from collections.abc import Callable

import pytest

from tests.integration.system import System
from tests.servers import wait_until


@pytest.mark.timeout(60)
def test_fires_are_recorded_though_a_module_of_the_user_is_broken(
    make_system: Callable[..., System],
) -> None:
    system = make_system()
    job = system.create(interval_seconds=1)
    system.environment["JOBS_IMPORTS"] = "no_such_module"

    system.start("scheduler")

    wait_until(lambda: len(system.runs(job)) >= 2, "fires are recorded", timeout_seconds=30)
    assert "import_failed module=no_such_module" in system.log("scheduler")
