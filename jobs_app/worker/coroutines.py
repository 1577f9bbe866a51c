"""Runs tasks that are coroutine functions, each call in an event loop of its own."""

import asyncio
import contextvars
import ctypes
import functools
import inspect
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any

from celery.exceptions import SoftTimeLimitExceeded

from jobs_app.tasks.context import Cancelled, TimedOut

#: Errors that other threads, and signals, raise in the thread of a run.
INTERRUPTS = (Cancelled, TimedOut, SoftTimeLimitExceeded)

#: The loop wakes up this often: an interrupt takes effect at the next step of Python code.
WAKE_SECONDS = 0.5


def is_coroutine_function(function: Callable[..., Any]) -> bool:
    """Return whether *function*, or one that its decorators wrap, is a coroutine function."""
    while not _is_coroutine_function(function):
        if (inner := getattr(function, "__wrapped__", None)) is None:
            return False
        function = inner
    return True


def _is_coroutine_function(function: Callable[..., Any]) -> bool:
    call = getattr(function, "__call__", None)  # noqa: B004  # not whether it can be called
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(call)


def is_in_event_loop() -> bool:
    """Return whether an event loop runs in this thread, so that its code can await."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def awaiting(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return *function*, which returns a coroutine, as a function that returns its value."""

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        result = function(*args, **kwargs)
        return run_coroutine(result) if inspect.iscoroutine(result) else result

    return call


def run_coroutine(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Return the value of *coroutine*, run as `asyncio.run` does it.

    A cancel, or a limit, cancels the coroutine as asyncio does, by CancelledError at its
    `await`. If it ends by that, the cancel or limit is raised here.
    """
    interrupt: BaseException | None = None
    with asyncio.Runner() as runner:
        loop = runner.get_loop()
        task = loop.create_task(coroutine)

        def stop(error: BaseException) -> None:
            nonlocal interrupt
            interrupt = error
            task.cancel()

        def on_error(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
            if isinstance(error := context.get("exception"), INTERRUPTS) and not task.done():
                # It hit a callback of the loop.
                stop(error)
            else:
                loop.default_exception_handler(context)

        loop.set_exception_handler(on_error)
        _wake(loop)
        while True:
            try:
                return loop.run_until_complete(task)
            except INTERRUPTS as error:
                if task.done():
                    raise
                # It hit the loop itself, between two steps of the coroutine.
                stop(error)
            except asyncio.CancelledError:
                if interrupt is None:
                    raise
                raise interrupt from None
            except BaseExceptionGroup as group:
                # It hit a task of a TaskGroup in code that does not await.
                raise _first_interrupt(group) or group from None


def run_beside_loop(call: Callable[[], Any]) -> Any:
    """Return what *call* returns in a thread of its own: this thread has an event loop already.

    A cancel or a limit that interrupts this thread interrupts the other one too.
    """
    outcome: Future[Any] = Future()
    context = contextvars.copy_context()

    def work() -> None:
        try:
            outcome.set_result(context.run(call))
        except BaseException as error:  # noqa: BLE001  # it is raised in the waiting thread
            outcome.set_exception(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    while thread.is_alive():
        try:
            thread.join(WAKE_SECONDS)
        except INTERRUPTS as error:
            ctypes.pythonapi.PyThreadState_SetAsyncExc(
                ctypes.c_ulong(thread.ident or 0), ctypes.py_object(type(error))
            )
    return outcome.result()


def _first_interrupt(error: BaseException) -> BaseException | None:
    if not isinstance(error, BaseExceptionGroup):
        return error if isinstance(error, INTERRUPTS) else None
    return next(filter(None, map(_first_interrupt, error.exceptions)), None)


def _wake(loop: asyncio.AbstractEventLoop) -> None:
    loop.call_later(WAKE_SECONDS, _wake, loop)
