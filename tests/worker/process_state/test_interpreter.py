"""Settings of the interpreter and its library are as before a change."""

import csv
import decimal
import gc
import locale
import multiprocessing
import multiprocessing.spawn
import os
import socket
import sys
import threading
import warnings
from pathlib import Path

import pytest

from jobs_app.worker.process_state.interpreter import Interpreter
from tests.faults.changing_tasks import CHANGES
from tests.running import in_child

NAMES = (
    "a directory",
    "a locale",
    "a start method",
    "an interpreter for programs",
    "a limit of csv",
    "a debugging collector",
    "flags of libraries",
    "a time-out of sockets",
    "a filter",
    "no warnings",
    "decimal's default",
    "no collector",
    "no path",
    "arguments",
    "a hook",
    "a hook of threads",
)


def _state() -> tuple[object, ...]:
    return (
        os.getcwd(),
        locale.setlocale(locale.LC_ALL),
        multiprocessing.get_start_method(allow_none=True),
        os.fsdecode(multiprocessing.spawn.get_executable()),
        csv.field_size_limit(),
        gc.get_debug(),
        sys.getdlopenflags(),
        socket.getdefaulttimeout(),
        [str(entry) for entry in warnings.filters],
        decimal.DefaultContext.prec,
        gc.isenabled(),
        list(sys.path),
        list(sys.argv),
        str(sys.excepthook),
        str(threading.excepthook),
    )


@pytest.mark.parametrize("what", NAMES)
def test_a_setting_is_restored(what: str) -> None:
    def act() -> bool:
        saved, before = Interpreter(), _state()
        CHANGES[what]()
        assert _state() != before
        return saved.restore() == [] and _state() == before

    assert in_child(act)


def test_the_directory_is_restored_also_if_the_present_one_was_removed(tmp_path: Path) -> None:
    def act() -> bool:
        saved, before = Interpreter(), os.getcwd()
        (tmp_path / "gone").mkdir()
        os.chdir(tmp_path / "gone")
        (tmp_path / "gone").rmdir()
        return saved.restore() == [] and os.getcwd() == before

    assert in_child(act)
