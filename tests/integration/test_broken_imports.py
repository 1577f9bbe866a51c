"""A module of the user that cannot be imported stops no tasks but its own."""

from collections.abc import Callable

from jobs_app.core.states import RunState
from tests.integration.system import System
from tests.profiles import postgresql_nightly
from tests.servers import wait_until


@postgresql_nightly
def test_fires_are_recorded_though_a_module_of_the_user_is_broken(
    make_system: Callable[..., System],
) -> None:
    system = make_system()
    job = system.create(interval_seconds=1)
    system.environment["JOBS_IMPORTS"] = "no_such_module"

    system.start("scheduler")

    wait_until(lambda: len(system.runs(job)) >= 2, "fires are recorded", timeout_seconds=30)
    assert "import_failed module=no_such_module" in system.log("scheduler")


@postgresql_nightly
def test_a_worker_serves_all_jobs_but_those_of_a_module_that_ends_the_program(
    make_system: Callable[..., System],
) -> None:
    system = make_system()
    ending, fine = "tests.integration.ending_module", "tests.integration.user_tasks"
    system.environment["JOBS_IMPORTS"] = f"{ending},{fine}"

    system.start_ready("worker")
    shell = system.wait_for_end(system.start_run("shell", command="echo hello"))

    assert shell.state is RunState.SUCCEEDED
    assert (
        f"The module '{ending}' of JOBS_IMPORTS cannot be imported: SystemExit, which would end"
        " the program: 2." in system.log("worker")
    )
