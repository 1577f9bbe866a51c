"""A run calls its task as Celery does, and its outcome is that of the work."""

import asyncio
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from celery import Celery, Task, chain, chord, current_app, group, shared_task
from celery.contrib.abortable import AbortableTask
from sqlalchemy import select, update

from jobs_app.core import clock
from jobs_app.core.states import CancelMode, RunState
from jobs_app.db.engine import Database
from jobs_app.db.models.runs import LogChunk, Run
from jobs_app.runs.cancel import cancel
from jobs_app.tasks import user_apps
from jobs_app.tasks.context import current_run
from jobs_app.tasks.parameters import parameters_of
from jobs_app.worker.invocation import adapt_coroutine_tasks
from jobs_app.worker.pool_process import Process
from tests.factories import make_run, run
from tests.servers import wait_until
from tests.worker.conftest import WorkOn

CALLS: list[Any] = []


@shared_task(name="tests.fetches")
async def fetches(n: int = 1) -> dict[str, Any]:
    """Do its work in a coroutine."""
    await asyncio.sleep(0)
    return {"n": n, "run": str(current_run.get().run_id)}


@shared_task(name="tests.fails_slowly", bind=True, autoretry_for=(OSError,), max_retries=5)
async def fails_slowly(self: Task[Any, Any]) -> None:
    """Fail after others had their turn."""
    await asyncio.sleep(0)
    raise OSError(f"attempt {self.request.retries}")


class Noisy(Task):
    """A task whose hooks all fail."""

    def on_failure(self, *_: Any) -> None:
        raise ValueError("the hook is broken")

    def on_retry(self, *_: Any) -> None:
        raise ValueError("the hook is broken")

    def on_success(self, *_: Any) -> None:
        raise ValueError("the hook is broken")

    def after_return(self, *_: Any) -> None:
        raise ValueError("the hook is broken, too")


@shared_task(name="tests.has_broken_hooks", base=Noisy, bind=True)
def has_broken_hooks(self: Task[Any, Any], how: str) -> str:
    """End in one of the ways that Celery has a hook for."""
    if how == "failed":
        raise KeyError("the orders")
    if how == "retried" and not self.request.retries:
        raise self.retry(exc=KeyError("the orders"), countdown=0)
    return how


@shared_task(name="tests.yields")
def yields() -> Iterator[int]:
    """Be a generator, whose body nobody runs."""
    CALLS.append("never")
    yield 1


@shared_task(name="tests.forgets_to_await")
def forgets_to_await() -> Any:
    """Return a coroutine of another function."""
    return fetches.run()


@shared_task(name="tests.calls_others")
async def calls_others() -> list[int]:
    """Call coroutine tasks as functions."""
    together = await asyncio.gather(adds(3, 4), adds.run(5, 6))
    return [await adds(1, 2), *together]


@shared_task(name="tests.calls_from_plain_code")
def calls_from_plain_code() -> list[Any]:
    """Call a coroutine task and a generator task as functions."""
    return [asyncio.run(adds(1, 2)), list(yields())]


@shared_task(name="tests.pages", bind=True, max_retries=5)
def pages(self: Task[Any, Any], page: int, /, *more: int, size: int = 10) -> None:
    """Ask to be called with the next page, by position."""
    CALLS.append((page, more, size))
    raise self.retry(args=(page + 1, *more, page), countdown=0)


@shared_task(name="tests.too_many", bind=True)
def too_many(self: Task[Any, Any], page: int = 1) -> None:
    """Ask to be called as it cannot be."""
    raise self.retry(args=(1, 2, 3), countdown=0)


@shared_task(name="tests.adds")
async def adds(x: int, y: int) -> int:
    """Replace another task, as a part of a chain too."""
    return x + y


@shared_task(name="tests.hands_over", bind=True)
def hands_over(self: Task[Any, Any], how: str) -> Any:
    """Be replaced by coroutine tasks."""
    if how == "one":
        return self.replace(adds.s(1, 2))
    if how == "group":
        return self.replace(group(adds.s(number, 1) for number in range(3)))
    if how == "chord":
        return self.replace(chord([adds.s(1, 2), adds.s(3, 4)], totals.s()))
    return self.replace(chain(adds.s(1, 2), adds.s(3)))


@shared_task(name="tests.totals")
def totals(numbers: list[int]) -> int:
    """Be the end of a chord."""
    return sum(numbers)


@shared_task(name="tests.names_its_run", bind=True)
async def names_its_run(self: Task[Any, Any], n: int) -> list[Any]:
    """Say which request and which run it has, called by itself too."""
    await asyncio.sleep(0)
    inner = await self.run(n - 1) if n else []
    return [self.request.args, str(current_run.get().run_id), *inner]


@shared_task(name="tests.hands_over_in_a_loop", bind=True)
async def hands_over_in_a_loop(self: Task[Any, Any], how: str) -> Any:
    """Run coroutine tasks from within a coroutine, each as Celery does."""
    await asyncio.sleep(0)
    if how == "apply":
        return names_its_run.apply(args=(1,)).result
    if how == "one":
        return self.replace(adds.s(1, 2))
    return self.replace(chain(adds.s(1, 2), adds.s(3)))


@shared_task(name="tests.counts_down", bind=True)
def counts_down(self: Task[Any, Any], n: int) -> Any:
    """Be replaced by itself, again and again."""
    if n:
        raise self.replace(counts_down.s(n - 1))
    return "zero"


@shared_task(name="tests.aborts", bind=True, base=AbortableTask)
def aborts(self: Any, replaced: bool = False) -> Any:
    """Work in steps until somebody wants it to end."""
    if replaced:
        raise self.replace(aborts.s())
    # The id as people write it, and as nobody needs to.
    CALLS.append(self.is_aborted() or self.is_aborted(task_id=self.request.id))
    end = time.monotonic() + 10
    while not self.is_aborted() and time.monotonic() < end:
        CALLS.append("step")
        time.sleep(0.05)
    return {"steps": CALLS.count("step") > 0}


@shared_task(name="tests.deep")
def deep(levels: int) -> Any:
    """Return a tree beside a plain value."""
    tree: Any = 1
    for _ in range(levels):
        tree = [tree]
    return {"rows": 42, "tree": tree}


@pytest.fixture(autouse=True)
def no_calls() -> None:
    CALLS.clear()


def test_a_coroutine_function_is_run_in_its_run(database: Database, work_on: WorkOn) -> None:
    run_id = make_run(database, task="tests.fetches", kwargs={"n": 3})

    work_on(run_id)

    done = run(database, run_id)
    assert (done.state, done.result) == (RunState.SUCCEEDED, {"n": 3, "run": str(run_id)})


@pytest.mark.parametrize("has_run_itself", [False, True])
def test_user_code_that_calls_a_task_gets_what_its_function_returns(
    database: Database, work_on: WorkOn, has_run_itself: bool
) -> None:
    if has_run_itself:
        # A task is adapted when its first run begins.
        work_on(make_run(database, task="tests.adds", kwargs={"x": 1, "y": 1}))
        work_on(make_run(database, task="tests.yields"))
    awaits = make_run(database, task="tests.calls_others")
    iterates = make_run(database, task="tests.calls_from_plain_code")

    work_on(awaits)
    work_on(iterates)

    assert run(database, awaits).result == [3, 7, 11]
    assert run(database, iterates).result == [3, [1]]


def test_a_coroutine_task_without_a_run_is_run_to_its_end() -> None:
    app = Celery("theirs", set_as_current=False)

    @app.task(shared=False)
    async def counts(n: int) -> int:
        await asyncio.sleep(0)
        return n + 1

    adapt_coroutine_tasks([counts])

    assert counts.apply((1,)).get() == 2


def test_a_replacement_that_is_replaced_has_the_result_of_the_last_one(
    database: Database, work_on: WorkOn
) -> None:
    run_id = make_run(database, task="tests.counts_down", kwargs={"n": 3})

    work_on(run_id)

    done = run(database, run_id)
    assert (done.state, done.result) == (RunState.SUCCEEDED, "zero")


def test_an_error_of_a_coroutine_is_retried_as_celery_says(
    database: Database, work_on: WorkOn
) -> None:
    run_id = make_run(database, task="tests.fails_slowly")

    work_on(run_id)

    retrying = run(database, run_id)
    assert retrying.state is RunState.RETRYING
    assert (retrying.error or {})["message"] == "attempt 0"


@pytest.mark.parametrize(
    "how, state, error",
    [
        ("done", RunState.SUCCEEDED, None),
        ("failed", RunState.FAILED, "KeyError"),
        ("retried", RunState.RETRYING, "KeyError"),
    ],
)
def test_a_hook_that_fails_changes_no_outcome(
    database: Database,
    work_on: WorkOn,
    capfd: pytest.CaptureFixture[str],
    how: str,
    state: RunState,
    error: str | None,
) -> None:
    run_id = make_run(database, task="tests.has_broken_hooks", kwargs={"how": how})

    work_on(run_id)

    ended = run(database, run_id)
    assert (ended.state, (ended.error or {}).get("type")) == (state, error)
    with database.reading() as session:
        log = "".join(session.scalars(select(LogChunk.text)))
    assert "of tests.has_broken_hooks raised an error, which changes no outcome" in log
    assert "ValueError: the hook is broken" in log


@pytest.mark.parametrize(
    "task, sentence",
    [
        ("tests.yields", "The task returned a generator, whose values nobody took"),
        ("tests.forgets_to_await", "The task returned a coroutine that nobody awaited"),
    ],
)
def test_work_that_was_not_done_is_a_failure(
    database: Database, work_on: WorkOn, task: str, sentence: str
) -> None:
    run_id = make_run(database, task=task)

    work_on(run_id)

    failed = run(database, run_id)
    assert failed.state is RunState.FAILED
    assert sentence in (failed.error or {})["message"]
    assert CALLS == []


@pytest.mark.parametrize(
    "how, result", [("one", 3), ("chain", 6), ("group", [1, 2, 3]), ("chord", 10)]
)
def test_a_coroutine_function_that_replaces_a_task_is_run(
    database: Database, work_on: WorkOn, how: str, result: Any
) -> None:
    run_id = make_run(database, task="tests.hands_over", kwargs={"how": how})

    work_on(run_id)

    done = run(database, run_id)
    assert (done.state, done.result) == (RunState.SUCCEEDED, result), done.error
    assert {p.name for p in parameters_of(adds.run)} == {"x", "y"}


@pytest.mark.parametrize("how, result", [("one", 3), ("chain", 6), ("apply", None)])
def test_a_coroutine_that_runs_tasks_by_celery_gets_their_results(
    database: Database, work_on: WorkOn, how: str, result: int | None
) -> None:
    run_id = make_run(database, task="tests.hands_over_in_a_loop", kwargs={"how": how})
    # As a worker does when it starts.
    adapt_coroutine_tasks([current_app.tasks["tests.names_its_run"]])

    work_on(run_id)

    done = run(database, run_id)
    in_its_request = [[1], str(run_id), [1], str(run_id)]
    expected = in_its_request if result is None else result
    assert (done.state, done.result) == (RunState.SUCCEEDED, expected), done.error


def next_attempt(database: Database, run_id: UUID) -> None:
    with database.session() as session:
        session.execute(update(Run).where(Run.id == run_id).values(state="queued", attempt=2))
        session.commit()


def test_a_retry_with_positional_arguments_is_called_with_them(
    database: Database, work_on: WorkOn
) -> None:
    run_id = make_run(database, task="tests.pages", kwargs={"page": 1, "more": [7], "size": 3})

    work_on(run_id)
    kwargs = run(database, run_id).kwargs
    next_attempt(database, run_id)
    work_on(run_id, 2)

    assert kwargs == {"page": 2, "more": [7, 1], "size": 3}
    assert CALLS == [(1, (7,), 3), (2, (7, 1), 3)]


def test_a_retry_that_cannot_be_kept_fails_the_run_and_says_why(
    database: Database, work_on: WorkOn
) -> None:
    run_id = make_run(database, task="tests.too_many", kwargs={})

    work_on(run_id)

    failed = run(database, run_id)
    assert failed.state is RunState.FAILED
    assert "3 positional arguments, and the task takes 1" in (failed.error or {})["message"]


@pytest.mark.parametrize("levels", [255, 940, 5000])
def test_a_deep_result_is_stored_and_can_be_read(
    database: Database, work_on: WorkOn, levels: int
) -> None:
    run_id = make_run(database, task="tests.deep", kwargs={"levels": levels})

    work_on(run_id)

    done = run(database, run_id)
    assert done.state is RunState.SUCCEEDED
    assert done.result["rows"] == 42
    assert "nested deeper than 32 levels" in (done.reason or "")


def test_the_run_of_a_task_of_a_broken_module_fails_with_the_error_of_the_module(
    database: Database,
    process: Process,
    work_on: WorkOn,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Celery registers a shared task with each later application, under a name of its own.
    name = f"broken_{uuid4().hex}"
    text = (
        "from celery import shared_task\n@shared_task\ndef early(): pass\nraise ValueError('no')\n"
    )
    (tmp_path / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    broken = user_apps.load_modules(process.app, [name], notes=tmp_path)
    user_apps.register_user_tasks(process.app, [name], broken)
    early, late = (make_run(database, task=f"{name}.{task}") for task in ("early", "late"))

    work_on(early)
    work_on(late)

    error = f"The module '{name}' of JOBS_IMPORTS cannot be imported: ValueError: no."
    ended = run(database, early)
    assert (ended.state, ended.error) == (
        RunState.FAILED,
        {"type": "NotLoaded", "message": f"The task '{name}.early' cannot run. {error}"}
        | {"traceback": None},
    )
    ended = run(database, late)
    assert ended.error is not None
    assert ended.error["message"] == f"This worker does not know the task '{name}.late'. {error}"


@pytest.mark.parametrize("replaced", [False, True])
def test_an_abortable_task_learns_of_the_cancel_of_its_run_and_ends_it(
    database: Database, work_on: WorkOn, replaced: bool
) -> None:
    run_id = make_run(database, task="tests.aborts", kwargs={"replaced": replaced})

    def cancel_later() -> None:
        wait_until(lambda: "step" in CALLS, "the task works")
        with database.session() as session:
            cancel(
                session, run_id, mode=CancelMode.GRACEFUL, by="ann", reason="typo", at=clock.now()
            )

    canceller = threading.Thread(target=cancel_later)
    canceller.start()
    work_on(run_id)
    canceller.join()

    done = run(database, run_id)
    assert CALLS[0] is False
    assert (done.state, done.reason, done.result) == (RunState.CANCELLED, "typo", {"steps": True})
    assert done.error is not None
    assert done.error["message"] == "The run was cancelled, and its task ended by itself."
