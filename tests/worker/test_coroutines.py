"""A coroutine function is run to its end, and a cancel or a limit ends it."""

import asyncio
import contextvars
import ctypes
import functools
import signal
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from celery.exceptions import SoftTimeLimitExceeded

from jobs_app.worker.coroutines import (
    awaiting,
    is_coroutine_function,
    run_beside_loop,
    run_coroutine,
)
from jobs_app.worker.liveness.cancellation import Interrupted, LimitReached

here: contextvars.ContextVar[str] = contextvars.ContextVar("here")


async def add(x: int, y: int = 1) -> int:
    """Add, after others had their turn."""
    await asyncio.sleep(0)
    return x + y


def logged(function: Callable[..., Any]) -> Callable[..., Any]:
    """Decorate as people do."""

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return call


class Adds:
    """An object that is called as a coroutine function."""

    async def __call__(self, x: int) -> int:
        """Add one."""
        return x + 1


@pytest.mark.parametrize("function", [add, logged(add), functools.partial(add, y=1), Adds()])
def test_a_coroutine_function_is_one_whatever_is_around_it(function: Any) -> None:
    assert is_coroutine_function(function)
    if function.__class__ is not Adds and not isinstance(function, functools.partial):
        assert awaiting(function)(1) == 2


def test_a_function_that_returns_a_coroutine_is_none() -> None:
    assert not is_coroutine_function(lambda: add(1))


def test_the_context_of_the_caller_is_that_of_the_coroutine() -> None:
    async def reads() -> str:
        return await asyncio.to_thread(here.get)

    token = here.set("the run")
    try:
        assert run_coroutine(reads()) == "the run"
    finally:
        here.reset(token)


def test_tasks_that_are_left_are_cancelled_at_the_end() -> None:
    seen = []

    async def lingers() -> None:
        try:
            await asyncio.sleep(600)
        finally:
            seen.append("cancelled")

    async def leaves() -> str:
        asyncio.get_running_loop().create_task(lingers())
        await asyncio.sleep(0)
        return "done"

    assert run_coroutine(leaves()) == "done"
    assert seen == ["cancelled"]


def _interrupt(thread_id: int, error: type[BaseException]) -> None:
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread_id), ctypes.py_object(error))


@pytest.fixture
def interrupted_by() -> Iterator[Callable[[type[BaseException]], None]]:
    """Interrupts this thread in a moment, as the cancel listener does."""
    timers: list[threading.Timer] = []

    def start(error: type[BaseException]) -> None:
        timers.append(threading.Timer(0.1, _interrupt, (threading.get_ident(), error)))
        timers[-1].start()

    yield start
    for timer in timers:
        timer.join()


@pytest.mark.parametrize("error", [Interrupted, LimitReached])
@pytest.mark.parametrize("how", ["awaits", "works", "in a group"])
def test_a_cancel_or_limit_ends_a_coroutine_that_waits_or_works(
    interrupted_by: Callable[[type[BaseException]], None], error: type[BaseException], how: str
) -> None:
    seen = []

    async def waits() -> None:
        try:
            if how == "works":
                for _ in range(600):
                    time.sleep(0.1)  # noqa: ASYNC251  # people do
            await asyncio.sleep(600)
        finally:
            await asyncio.sleep(0)
            seen.append("cleaned up")

    async def in_a_group() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(waits())

    interrupted_by(error)
    with pytest.raises(error):
        run_coroutine(in_a_group() if how == "in a group" else waits())

    assert seen == ["cleaned up"]


@pytest.mark.parametrize("error", [Interrupted, SoftTimeLimitExceeded])
def test_a_cancel_or_limit_ends_a_coroutine_that_another_one_runs(
    interrupted_by: Callable[[type[BaseException]], None], error: type[BaseException]
) -> None:
    seen = []

    async def waits() -> None:
        try:
            await asyncio.sleep(600)
        finally:
            seen.append("cleaned up")

    async def runs() -> str:
        seen.append(run_beside_loop(lambda: run_coroutine(add(1))))
        return str(run_beside_loop(lambda: run_coroutine(waits())))

    interrupted_by(error)
    with pytest.raises(error):
        run_coroutine(runs())

    assert seen == [2, "cleaned up"]


def test_the_signal_of_the_soft_limit_ends_a_coroutine_that_waits() -> None:
    def strike(*_: object) -> None:
        raise SoftTimeLimitExceeded(1)

    async def waits() -> str:
        signal.setitimer(signal.ITIMER_REAL, 0.1)
        try:
            await asyncio.sleep(600)
        except asyncio.CancelledError:
            if is_caught:
                return "cleaned up"
            raise
        return "slept"

    before = signal.signal(signal.SIGALRM, strike)
    try:
        for is_caught in (False, True):
            if is_caught:
                assert run_coroutine(waits()) == "cleaned up"
            else:
                with pytest.raises(SoftTimeLimitExceeded):
                    run_coroutine(waits())
    finally:
        signal.signal(signal.SIGALRM, before)


def test_a_coroutine_that_cancels_itself_is_not_called_interrupted() -> None:
    async def cancels() -> None:
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        run_coroutine(cancels())
