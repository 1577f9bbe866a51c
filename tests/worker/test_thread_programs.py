"""In a pool of threads each run ends its own processes, and no others."""

import multiprocessing
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import suppress
from multiprocessing.pool import Pool, ThreadPool
from multiprocessing.process import BaseProcess
from typing import Any

import pytest

from jobs_app.worker.thread_programs import ThreadPrograms, note_processes
from tests.servers import wait_until

FORK: Any = multiprocessing.get_context("fork")


@pytest.fixture(autouse=True)
def noted(monkeypatch: pytest.MonkeyPatch) -> None:
    # For this test alone.
    monkeypatch.setattr(BaseProcess, "start", BaseProcess.start)
    monkeypatch.setattr(Pool, "__init__", Pool.__init__)
    note_processes()


@pytest.fixture
def run_in_thread() -> Iterator[Callable[[Callable[[ThreadPrograms], Any]], Any]]:
    """Calls a function in a thread of its own, as that of a run, with the programs of it."""
    threads: list[threading.Thread] = []

    def run(call: Callable[[ThreadPrograms], Any]) -> Any:
        result: Future[Any] = Future()
        thread = threading.Thread(target=lambda: result.set_result(call(ThreadPrograms())))
        threads.append(thread)
        thread.start()
        return result.result(20)

    yield run
    for thread in threads:
        thread.join(5)


def start(programs: ThreadPrograms) -> tuple[Any, ThreadPrograms]:
    process = FORK.Process(target=time.sleep, args=[60], name="long")
    process.start()
    return process, programs


def test_the_end_of_a_run_ends_its_processes_and_names_them(
    run_in_thread: Callable[..., Any],
) -> None:
    others, of_other = run_in_thread(start)

    def work(programs: ThreadPrograms) -> tuple[Any, list[str]]:
        process, _ = start(programs)
        return process, programs.end(2)

    own, names = run_in_thread(work)

    assert [name.split()[-1] for name in names] == [f"({own.pid})"]
    assert not own.is_alive()
    assert others.is_alive()
    of_other.kill()
    wait_until(lambda: not others.is_alive(), "it was killed")


def test_a_run_without_processes_ends_at_once(run_in_thread: Callable[..., Any]) -> None:
    assert run_in_thread(lambda programs: programs.end(2)) == []


def test_a_pool_of_processes_is_terminated_and_one_of_threads_is_kept(
    run_in_thread: Callable[..., Any],
) -> None:
    def work(programs: ThreadPrograms) -> tuple[Any, Any]:
        pools = FORK.Pool(1), ThreadPool(1)
        programs.end(2)
        return pools

    processes, threads = run_in_thread(work)

    wait_until(lambda: processes._state == "TERMINATE", "the pool is terminated")
    assert threads.apply(len, ["abc"]) == 3
    threads.terminate()


@pytest.mark.parametrize("wait", ["map", "imap_unordered", "apply"])
def test_a_wait_for_a_pool_can_be_woken(run_in_thread: Callable[..., Any], wait: str) -> None:
    """The names `_cache`, `_event` and `_cond` are Python's own, and private."""
    woken = threading.Event()
    made: list[ThreadPrograms] = []

    def work(programs: ThreadPrograms) -> None:
        pool = FORK.Pool(1)
        made.append(programs)
        # In a run an exception of ours comes first.
        with suppress(AttributeError, multiprocessing.TimeoutError):
            if wait == "apply":
                pool.apply(time.sleep, [60])
            else:
                list(getattr(pool, wait)(time.sleep, [60]))
        woken.set()
        programs.end(0)

    thread = threading.Thread(target=lambda: work(ThreadPrograms()))
    thread.start()
    wait_until(lambda: made and made[0]._pools, "it waits")

    def wake() -> bool:
        made[0].wake()
        return woken.is_set()

    wait_until(wake, "it is woken")
    thread.join(10)
    assert not thread.is_alive()
