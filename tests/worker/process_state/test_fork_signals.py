"""A process that a task forks ends by a signal as in a script."""

import faulthandler
import multiprocessing
import os
import signal
import time
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from jobs_app.celery_app import make_celery
from jobs_app.core.settings import Settings
from jobs_app.worker.pool_process import Process
from jobs_app.worker.process_state.fork_signals import (
    end_watchdog_before_forks,
    reset_signals_in_forks,
)
from tests.running import in_child


def _exit(_number: int, _frame: FrameType | None) -> None:
    raise SystemExit(3)


def _goes_on(_number: int, _frame: FrameType | None) -> None:
    pass


def _own(_number: int, _frame: FrameType | None) -> None:
    os._exit(5)


def _forked(*, send_early: bool) -> tuple[int | None, bool]:
    """Fork a child, end it by SIGTERM, and return its status and whether we are unharmed."""
    if send_early:
        # The child gets the signal within the first hook that runs in it.
        os.register_at_fork(after_in_child=lambda: os.kill(os.getpid(), signal.SIGTERM))
    # The second call does nothing.
    reset_signals_in_forks()
    reset_signals_in_forks()
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    code = _terminated(is_sent=send_early)
    return code, signal.pthread_sigmask(signal.SIG_BLOCK, []) == mask


def _terminated(*, is_sent: bool = False) -> int | None:
    """Fork a child and end it by SIGTERM; return its exit code, None if it goes on."""
    context: Any = multiprocessing.get_context("fork")
    process = context.Process(target=time.sleep, args=[60])
    process.start()
    if not is_sent:
        process.terminate()
    process.join(5)
    code: int | None = process.exitcode
    process.kill()
    return code


def test_a_handler_of_the_worker_does_not_keep_a_child_alive() -> None:
    _exit.__module__ = "billiard.common"

    def act(send_early: bool) -> tuple[int | None, bool]:
        signal.signal(signal.SIGTERM, _exit)
        return _forked(send_early=send_early)

    assert in_child(lambda: act(False)) == (-signal.SIGTERM, True)
    assert in_child(lambda: act(True)) == (-signal.SIGTERM, True)


@pytest.mark.parametrize("is_solo", [False, True])
def test_it_holds_for_tasks_in_the_main_process_of_a_worker(tmp_path: Path, is_solo: bool) -> None:
    _goes_on.__module__ = "celery.apps.worker"
    settings = Settings(
        database_url=f"sqlite:///{tmp_path}/jobs.db", redis_url="redis://127.0.0.1:1/0"
    )

    def act() -> int | None:
        signal.signal(signal.SIGTERM, _goes_on)
        Process(make_celery(settings), settings, "worker@test", is_prefork=False, is_solo=is_solo)
        return _terminated()

    assert in_child(act) == -signal.SIGTERM


def test_a_handler_of_the_task_is_inherited() -> None:
    def act() -> tuple[int | None, bool]:
        signal.signal(signal.SIGTERM, _own)
        return _forked(send_early=False)

    code, is_unharmed = in_child(act)

    assert code == 5
    assert is_unharmed


def test_a_watchdog_of_the_worker_does_not_stop_the_processes_that_it_forks() -> None:
    def ends_it() -> str:
        signal.alarm(10)
        faulthandler.cancel_dump_traceback_later()
        return "went on"

    def act() -> str:
        end_watchdog_before_forks()
        faulthandler.dump_traceback_later(60)
        return in_child(ends_it)

    assert in_child(act) == "went on"
