"""Tasks of a user's own Celery application run in a real worker, checked and watched."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from jobs_app.core import clock
from jobs_app.core.errors import InvalidInput
from jobs_app.core.states import RunState
from tests.integration.system import System
from tests.profiles import postgresql_nightly, threads_nightly
from tests.servers import wait_until

MODULE = "tests.integration.own_app"


@pytest.fixture(params=["prefork", threads_nightly])
def own(make_system: Callable[..., System], request: pytest.FixtureRequest) -> System:
    """An installation whose worker knows the user's application, with each pool."""
    system = make_system(imports=MODULE, worker_pool=request.param)
    system.start("worker")
    return system


@postgresql_nightly
def test_arguments_come_as_the_hints_have_them_also_after_a_retry(own: System) -> None:
    typed = own.start_run(
        f"{MODULE}.typed", at="2026-12-01T09:00:00Z", on=["2026-12-01"], mode="fast", pair=[1, 2]
    )
    model = own.start_run(f"{MODULE}.with_model", window={"start": "2026-12-01T09:00:00Z"})

    wait_until(lambda: own.run(typed).state is RunState.RETRYING, "the task asks for a retry")
    assert own.run(typed).kwargs == {
        "at": "2026-12-01T09:00:00Z",
        "on": ["2026-01-01"],
        "mode": "fast",
    }
    own.start("scheduler")
    ended = own.wait_for_end(typed)

    assert ended.state is RunState.SUCCEEDED, ended.error
    assert ended.result == [
        "datetime.datetime(2026, 12, 1, 9, 0, tzinfo=TzInfo(0))",
        "[datetime.date(2026, 1, 1)]",
        "<Mode.FAST: 'fast'>",
        "(0, 0)",
    ]
    assert "2026, 12, 1, 9, 0" in str(own.wait_for_end(model).result)


@postgresql_nightly
def test_a_class_based_task_is_run_and_its_progress_seen(own: System) -> None:
    at = clock.now().replace(microsecond=0) + timedelta(seconds=4)
    own.start("scheduler")
    job = own.create(name="by-class", task="theirs.by-class", kwargs={"steps": 6}, once_at=at)
    seen: list[float] = []

    def has_ended() -> bool:
        runs = own.runs(job)
        seen.extend(run.progress["fraction"] for run in runs if run.progress is not None)
        return any(run.finished_at is not None for run in runs)

    wait_until(has_ended, "the run ends", timeout_seconds=40)

    (run,) = own.runs(job)
    assert run.state is RunState.SUCCEEDED, run.error
    assert run.result == {
        "id": str(run.id),
        "job": "by-class",
        "scheduled_for": at.isoformat(),
        "attempt": 1,
    }
    assert run.progress is not None
    assert (run.progress["fraction"], run.progress["message"]) == (0.99, "from a thread")
    assert len(set(seen)) > 2
    assert seen == sorted(seen)


@postgresql_nightly
def test_arguments_that_the_type_hints_refuse_start_no_run(own: System) -> None:
    with pytest.raises(InvalidInput) as raised:
        own.start_run(f"{MODULE}.typed", at="tomorrow", on=[5], mode="slow")

    assert [error.pointer for error in raised.value.errors] == [
        "/kwargs/at",
        "/kwargs/on/0",
        "/kwargs/mode",
    ]
