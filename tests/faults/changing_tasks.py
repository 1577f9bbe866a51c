"""Tasks that change the process that they run in, and one that says how it finds its process."""

import contextvars
import csv
import ctypes
import decimal
import faulthandler
import gc
import locale
import logging
import logging.config
import multiprocessing
import os
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable
from typing import Any

from celery import shared_task

VARIABLE: contextvars.ContextVar[str] = contextvars.ContextVar("changed", default="as before")

_PR_SET_NO_NEW_PRIVS, _PR_SET_DUMPABLE = 38, 4
_libc = ctypes.CDLL(None)


def _lower(name: str, value: int) -> None:
    limit = getattr(resource, name)
    resource.setrlimit(limit, (value, resource.getrlimit(limit)[1]))


def _take_root_handlers() -> None:
    logging.getLogger().handlers.clear()
    logging.getLogger().addHandler(logging.NullHandler())


def _silence_a_new_logger() -> None:
    logger = logging.getLogger("ledger")
    logger.propagate = False
    logger.disabled = True
    logger.addHandler(logging.NullHandler())


def _log_in_own_format() -> None:
    logging.basicConfig(force=True, format="SHORT %(message)s", level=logging.ERROR)


def _log_by_dict() -> None:
    handlers: dict[str, Any] = {"console": {"class": "logging.StreamHandler"}}
    root = {"handlers": ["console"], "level": "ERROR"}
    logging.config.dictConfig({"version": 1, "handlers": handlers, "root": root})


def _mute_root_handlers() -> None:
    for handler in logging.getLogger().handlers:
        handler.setLevel(logging.CRITICAL)
        handler.addFilter(lambda _: False)


def _alarm_while_blocked() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGALRM])
    # For this thread: another one would take a signal to the process.
    signal.pthread_kill(threading.get_ident(), signal.SIGALRM)


def _set_zone() -> None:
    os.environ["TZ"] = "Asia/Tokyo"
    time.tzset()


def _no_record(*_: object) -> logging.LogRecord:
    raise ValueError("no records")


def _set_and_forget_zone() -> None:
    _set_zone()
    del os.environ["TZ"]


def _close(fd: int) -> Callable[[], None]:
    def close() -> None:
        os.close(fd)
        # Whatever is opened next gets the number.
        globals().setdefault("kept", []).append(os.open(os.devnull, os.O_RDONLY))

    return close


def _replace_environ() -> None:
    os.environ = {"PATH": "/nowhere"}  # type: ignore[assignment]  # noqa: B003  # as people do


#: What leaves the process usable by the next run.
CHANGES: dict[str, Callable[[], object]] = {
    "a variable": lambda: os.environ.update(PAYMENT_TOKEN="paytoken-0123456789"),
    "a variable of programs": lambda: os.putenv("PAYMENT_TOKEN", "paytoken-0123456789"),
    "the path": lambda: os.environ.update(PATH="/nowhere"),
    "no variables": lambda: os.environ.clear(),
    "another environ": _replace_environ,
    "a zone": _set_zone,
    "a zone without its variable": _set_and_forget_zone,
    "an alarm": lambda: signal.alarm(1),
    "a real timer": lambda: signal.setitimer(signal.ITIMER_REAL, 0.3),
    "a timer of the processor": lambda: signal.setitimer(signal.ITIMER_VIRTUAL, 0.01),
    "a profiling timer": lambda: signal.setitimer(signal.ITIMER_PROF, 0.01),
    "a blocked alarm": _alarm_while_blocked,
    "a delayed dump": lambda: faulthandler.dump_traceback_later(0.4, exit=True),
    "a delayed exit": lambda: threading.Timer(0.4, os._exit, [3]).start(),
    "faulthandler": lambda: faulthandler.register(signal.SIGUSR1),
    "a handler": lambda: signal.signal(signal.SIGUSR2, lambda *_: os._exit(4)),
    "no hangup": lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN),
    "deadly pipes": lambda: signal.signal(signal.SIGPIPE, signal.SIG_DFL),
    "deaf": lambda: signal.pthread_sigmask(signal.SIG_BLOCK, set(signal.Signals)),
    "dictConfig": _log_by_dict,
    "basicConfig": _log_in_own_format,
    "disabled logging": lambda: logging.disable(logging.CRITICAL),
    "no root handlers": _take_root_handlers,
    "muted root handlers": _mute_root_handlers,
    "a silent logger": _silence_a_new_logger,
    "a level": lambda: logging.getLogger("plain").setLevel(logging.CRITICAL),
    "other level names": lambda: logging.addLevelName(logging.WARNING, "!"),
    "another record": lambda: logging.setLogRecordFactory(_no_record),
    "closed input": _close(0),
    "closed stdin": lambda: sys.stdin.close(),
    "another stdin": lambda: setattr(sys, "stdin", None),
    "closed output": _close(1),
    "a umask": lambda: os.umask(0o777),
    "a directory": lambda: os.chdir("/proc"),
    "a locale": lambda: locale.setlocale(locale.LC_ALL, "C"),
    "a start method": lambda: multiprocessing.set_start_method("spawn", force=True),
    "an interpreter for programs": lambda: multiprocessing.set_executable("/nowhere"),
    "a limit of csv": lambda: csv.field_size_limit(10),
    "a debugging collector": lambda: gc.set_debug(gc.DEBUG_UNCOLLECTABLE),
    "flags of libraries": lambda: sys.setdlopenflags(os.RTLD_NOW | os.RTLD_GLOBAL),
    "a time-out of sockets": lambda: socket.setdefaulttimeout(0.001),
    "little recursion": lambda: sys.setrecursionlimit(150),
    "a filter": lambda: warnings.simplefilter("error"),
    "no warnings": lambda: setattr(warnings, "filters", []),
    "decimal": lambda: setattr(decimal.getcontext(), "prec", 2),
    "decimal's default": lambda: setattr(decimal.DefaultContext, "prec", 2),
    "a context variable": lambda: VARIABLE.set("changed"),
    "no collector": lambda: gc.disable(),
    "no path": lambda: sys.path.clear(),
    "arguments": lambda: sys.argv.append("--more"),
    "a hook": lambda: setattr(sys, "excepthook", print),
    "a hook of threads": lambda: setattr(threading, "excepthook", print),
    "small files": lambda: _lower("RLIMIT_FSIZE", 10),
    "little memory": lambda: _lower("RLIMIT_AS", 10_000_000),
    "few files": lambda: _lower("RLIMIT_NOFILE", 5),
    "one processor": lambda: os.sched_setaffinity(0, [min(os.sched_getaffinity(0))]),
    "a process group": lambda: os.setpgid(0, 0),
    "dumpable": lambda: _libc.prctl(_PR_SET_DUMPABLE, 1, 0, 0, 0),
}

#: What only root can take back.
CHANGES_OF_ROOT: dict[str, Callable[[], object]] = {
    "an effective user": lambda: os.seteuid(65534),
    "an effective group": lambda: os.setegid(65534),
    "groups": lambda: os.setgroups([65534]),
    "nice": lambda: os.nice(5),
}

#: What stays, and how the log names it.
LASTING: dict[str, tuple[Callable[[], object], str]] = {
    "another session": (lambda: os.setsid(), "session"),
    "no new rights": (lambda: _libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privileges"),
}

#: What leaves a process that can no longer write.
DAMAGES: dict[str, Callable[[], object]] = {
    "closed descriptors": lambda: os.closerange(3, 1024),
    "a hard limit": lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (10, 10)),
}

#: The same, as root.
DAMAGES_OF_ROOT: dict[str, Callable[[], object]] = {
    "another user": lambda: os.setresuid(65534, 65534, 65534),
    "another root directory": lambda: os.chroot("/proc"),
}


@shared_task
def changes(what: str) -> str:
    """Change something of the process, and say which process it is."""
    lasting = {name: change for name, (change, _) in LASTING.items()}
    (CHANGES | CHANGES_OF_ROOT | lasting | DAMAGES | DAMAGES_OF_ROOT)[what]()
    return str(os.getpid())


@shared_task
def reports(seconds: float = 0.0) -> dict[str, Any]:
    """Log in all the ways that could be silenced; return how the process is."""
    logging.getLogger("plain").warning("a record")
    logging.getLogger("ledger").warning("another record")
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        # A timer of the processor goes on only while it works.
        sum(range(1000))
    programs = subprocess.run(["/usr/bin/env"], capture_output=True, text=True, check=True)
    read = subprocess.run(["/bin/cat"], capture_output=True, text=True, check=True)
    context = decimal.getcontext()
    umask = os.umask(0)
    os.umask(umask)
    return {
        "pid": str(os.getpid()),
        "variables": {k: v for k, v in os.environ.items() if not k.startswith("JOBS_")},
        "programs": sorted(v for v in programs.stdout.split("\n") if not v.startswith("JOBS_")),
        "zone": [time.tzname, time.timezone],
        "timers": [signal.getitimer(n) for n in (0, 1, 2)],
        "handlers": [str(signal.getsignal(n)).partition(" at ")[0] for n in signal.valid_signals()],
        "mask": sorted(signal.pthread_sigmask(signal.SIG_BLOCK, [])),
        "input": [sys.stdin.read(), read.stdout, os.readlink("/proc/self/fd/0")],
        "umask": umask,
        "directory": os.getcwd(),
        "locale": locale.setlocale(locale.LC_ALL),
        "python": [
            socket.getdefaulttimeout(),
            sys.getrecursionlimit(),
            [str(entry) for entry in warnings.filters],
            [context.prec, decimal.DefaultContext.prec],
            VARIABLE.get(),
            gc.isenabled(),
            sys.path,
            sys.argv,
            str(sys.excepthook),
            str(threading.excepthook),
        ],
        "limits": [resource.getrlimit(n) for n in range(resource.RLIM_NLIMITS)]
        if hasattr(resource, "RLIM_NLIMITS")
        else [resource.getrlimit(n) for n in range(16)],
        "rights": [os.getresuid(), os.getresgid(), os.getgroups(), os.getpriority(0, 0)],
        "processors": sorted(os.sched_getaffinity(0)),
        "group": os.getpgid(0),
        "dumpable": _libc.prctl(3, 0, 0, 0, 0),
    }
