"""Settings of the Python interpreter and its library that count for the whole process."""

import csv
import decimal
import gc
import locale
import logging
import multiprocessing
import multiprocessing.spawn
import os
import socket
import sys
import tempfile
import threading
import warnings
from collections.abc import Callable
from contextlib import suppress
from typing import Any

#: Reads a setting, writes it, and the name of the setting for the log.
SETTINGS: tuple[tuple[Callable[[], Any], Callable[[Any], object], str], ...] = (
    # First: with a low limit the rest would fail.
    (sys.getrecursionlimit, sys.setrecursionlimit, "recursion_limit"),
    (sys.gettrace, sys.settrace, "trace_function"),
    (sys.getprofile, sys.setprofile, "profile_function"),
    (threading.gettrace, threading.settrace, "trace_function_of_threads"),
    (threading.getprofile, threading.setprofile, "profile_function_of_threads"),
    (sys.getswitchinterval, sys.setswitchinterval, "switch_interval"),
    (sys.get_int_max_str_digits, sys.set_int_max_str_digits, "int_max_str_digits"),
    (gc.isenabled, lambda is_on: gc.enable() if is_on else gc.disable(), "garbage_collector"),
    (gc.get_threshold, lambda values: gc.set_threshold(*values), "garbage_collector"),
    (socket.getdefaulttimeout, socket.setdefaulttimeout, "socket_timeout"),
    (threading.stack_size, threading.stack_size, "stack_size"),
    (
        lambda: multiprocessing.get_start_method(allow_none=True),
        lambda method: multiprocessing.set_start_method(method, force=True),
        "start_method",
    ),
    (multiprocessing.spawn.get_executable, multiprocessing.set_executable, "executable"),
    (csv.field_size_limit, csv.field_size_limit, "csv_field_size_limit"),
    (gc.get_debug, gc.set_debug, "garbage_collector"),
    (sys.getdlopenflags, sys.setdlopenflags, "dlopen_flags"),
    (lambda: locale.setlocale(locale.LC_ALL), lambda name: _set_locale(name), "locale"),
)

#: Attributes of modules that hooks and scripts replace.
ATTRIBUTES: tuple[tuple[Any, str], ...] = (
    (sys, "excepthook"),
    (sys, "unraisablehook"),
    (sys, "displayhook"),
    (sys, "breakpointhook"),
    (sys, "dont_write_bytecode"),
    (threading, "excepthook"),
    (warnings, "showwarning"),
    (warnings, "formatwarning"),
    (tempfile, "tempdir"),
    (sys, "path"),
    (sys, "argv"),
    (warnings, "filters"),
)

#: Lists among them, whose content is restored too.
LISTS: tuple[tuple[Any, str], ...] = ATTRIBUTES[-3:]

_DECIMAL_FIELDS = ("prec", "rounding", "Emin", "Emax", "capitals", "clamp", "traps")


class Interpreter:
    """Interpreter settings, directory, module attributes and decimal's default context."""

    def __init__(self) -> None:
        self._settings = [read() for read, _, _ in SETTINGS]
        self._attributes = [getattr(module, name) for module, name in ATTRIBUTES]
        self._lists = [list(getattr(module, name)) for module, name in LISTS]
        self._decimal = _decimal_defaults()
        self._directory = os.getcwd()

    def restore(self) -> list[str]:
        """Restore everything; return the names of the settings that stay changed."""
        changed = []
        for (read, write, name), value in zip(SETTINGS, self._settings, strict=True):
            if read() != value:
                write(value)
                if read() != value:
                    changed.append(name)
        self._restore_attributes()
        if _decimal_defaults() != self._decimal:
            for name, value in zip(_DECIMAL_FIELDS, self._decimal, strict=True):
                setattr(decimal.DefaultContext, name, value)
        return changed if self._is_in_directory() else [*changed, "working_directory"]

    def _restore_attributes(self) -> None:
        for (module, name), value in zip(ATTRIBUTES, self._attributes, strict=True):
            if getattr(module, name) is not value:
                if name == "showwarning":
                    # Or the next run could not capture its warnings.
                    logging.captureWarnings(False)
                setattr(module, name, value)
        for (module, name), items in zip(LISTS, self._lists, strict=True):
            if getattr(module, name) != items:
                # For the filters: the public call that drops Python's cache of their results.
                warnings.simplefilter("default", append=True)
                getattr(module, name)[:] = items

    def _is_in_directory(self) -> bool:
        """Return to the saved directory; True if we are there, or if it no longer exists."""
        try:
            if os.getcwd() == self._directory:
                return True
        except FileNotFoundError:
            # The present directory was removed.
            pass
        try:
            os.chdir(self._directory)
        except FileNotFoundError:
            # A new process would not find it either.
            return True
        except OSError:
            return False
        return True


def _set_locale(name: str) -> None:
    with suppress(locale.Error):
        locale.setlocale(locale.LC_ALL, name)


def _decimal_defaults() -> list[Any]:
    # Not the present context: each run has its own, in its contextvars.
    context = decimal.DefaultContext
    values = [getattr(context, name) for name in _DECIMAL_FIELDS]
    return [dict(value) if isinstance(value, dict) else value for value in values]
