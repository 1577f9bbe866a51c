"""A process that a task forks ends by a signal as in a script."""

import multiprocessing
import os
import signal
import time
from types import FrameType
from typing import Any

from jobs_app.worker.process_state.fork_signals import reset_signals_in_forks
from tests.running import in_child


def _exit(_number: int, _frame: FrameType | None) -> None:
    raise SystemExit(3)


def _own(_number: int, _frame: FrameType | None) -> None:
    os._exit(5)


def _forked(*, send_early: bool) -> tuple[int, bool]:
    """Fork a child, end it by SIGTERM, and return its status and whether we are unharmed."""
    if send_early:
        # The child gets the signal within the first hook that runs in it.
        os.register_at_fork(after_in_child=lambda: os.kill(os.getpid(), signal.SIGTERM))
    reset_signals_in_forks()
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    context: Any = multiprocessing.get_context("fork")
    process = context.Process(target=time.sleep, args=[60])
    process.start()
    if not send_early:
        process.terminate()
    process.join(20)
    return process.exitcode, signal.pthread_sigmask(signal.SIG_BLOCK, []) == mask


def test_a_handler_of_the_worker_does_not_keep_a_child_alive() -> None:
    _exit.__module__ = "billiard.common"

    def act(send_early: bool) -> tuple[int, bool]:
        signal.signal(signal.SIGTERM, _exit)
        return _forked(send_early=send_early)

    assert in_child(lambda: act(False)) == (-signal.SIGTERM, True)
    assert in_child(lambda: act(True)) == (-signal.SIGTERM, True)


def test_a_handler_of_the_task_is_inherited() -> None:
    def act() -> tuple[int, bool]:
        signal.signal(signal.SIGTERM, _own)
        return _forked(send_early=False)

    code, is_unharmed = in_child(act)

    assert code == 5
    assert is_unharmed
