"""A forked process is waited for and ended as one that was started."""

import signal
import subprocess

import pytest

from tests.core.test_fork_server import forked


def test_a_process_that_outlives_the_wait_raises() -> None:
    process = forked("sleep")

    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.01)

    process.kill()
    process.wait(10)


def test_its_exit_code_tells_the_signal_that_ended_it() -> None:
    process = forked("sleep")

    process.send_signal(signal.SIGUSR1)

    assert process.wait(10) == -signal.SIGUSR1
    process.send_signal(signal.SIGUSR1)
    assert process.poll() == -signal.SIGUSR1
