"""Standard input is open and empty, and closed pipes are noticed."""

import os
import subprocess
import sys
from collections.abc import Callable

import pytest

from jobs_app.worker.process_state.descriptors import (
    CLOSED,
    Descriptors,
    empty_stdin,
    ensure_standard_descriptors,
)
from tests.running import in_child


def _close_and_open() -> None:
    os.close(0)
    assert os.pipe()[0] == 0


CHANGES: dict[str, Callable[[], object]] = {
    "closed": lambda: os.close(0),
    "a pipe": _close_and_open,
    "closed stream": lambda: sys.stdin.close(),
    "no stream": lambda: setattr(sys, "stdin", None),
}


@pytest.mark.parametrize("what", CHANGES)
def test_standard_input_is_empty_again(what: str) -> None:
    def act() -> tuple[list[str], str, bytes]:
        empty_stdin()
        saved = Descriptors()
        CHANGES[what]()
        names = saved.restore()
        ended = subprocess.run(["/bin/cat"], stdout=subprocess.PIPE, check=True)
        return names, sys.stdin.read(), ended.stdout

    assert in_child(act) == ([], "", b"")


@pytest.mark.parametrize("is_reused", [False, True])
def test_closed_pipes_are_named(is_reused: bool) -> None:
    def act() -> list[str]:
        reading, _ = os.pipe()
        saved = Descriptors()
        os.closerange(reading, reading + 2)
        while is_reused and os.open(os.devnull, os.O_RDONLY) < reading:
            pass
        return saved.restore()

    assert in_child(act) == [CLOSED]


def test_the_three_standard_descriptors_are_opened_if_they_are_closed() -> None:
    def act() -> list[int]:
        for fd in (0, 1, 2):
            os.close(fd)
        ensure_standard_descriptors()
        return sorted(os.pipe())

    assert min(in_child(act)) > 2
