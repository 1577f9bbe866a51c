"""Ends the programs that a run in Python has started: they do not outlive the run.

The process of the run is a subreaper: orphaned descendants become its children, so that
daemons are found too. Children from before the run are left alone. Linux only.
"""

import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from jobs_app.core.process_tree import (
    Entry,
    become_subreaper,
    children,
    descendants,
    has_children,
)
from jobs_app.core.text import counted

#: Time between TERM and KILL, as for the leftover processes of a command, seconds.
LEFTOVER_GRACE_SECONDS = 2.0

#: A process that KILL does not end (a dead disk) must not delay the result for ever, seconds.
LEFTOVER_LIMIT_SECONDS = 8.0

POLL_SECONDS = 0.01

#: Modules of Python that start a service process, and the name of their object for it.
SERVICES = (
    ("multiprocessing.forkserver", "_forkserver", "_forkserver_pid"),
    ("multiprocessing.resource_tracker", "_resource_tracker", "_pid"),
)


class RunPrograms:
    """The programs of the current run; create it just before the task."""

    def __init__(self) -> None:
        # Again for each run: a task may have turned it off.
        become_subreaper()
        earlier = children() if has_children() else []
        self._earlier = frozenset(entry.key for entry in earlier)

    def wake(self) -> None:
        """Wake a task that waits for its processes where no exception reaches it."""

    def signal(self, number: int) -> None:
        """Send a signal to the programs, and continue those that are stopped."""
        if has_children():
            _signal(self._living(), number)

    def kill(self) -> None:
        """Kill the programs; one that starts at this moment is found a moment later."""
        give_up_at = time.monotonic() + LEFTOVER_GRACE_SECONDS
        while (living := self._living()) and time.monotonic() < give_up_at:
            _signal(living, signal.SIGKILL)
            time.sleep(POLL_SECONDS)

    def end(self, grace_seconds: float) -> list[str]:
        """End the programs with TERM, then KILL; return "NAME (PID)" of each one alive."""
        if not has_children():
            return []
        began = time.monotonic()
        kill_at = began + min(grace_seconds, LEFTOVER_GRACE_SECONDS)
        names: list[str] = []
        signaled: set[tuple[int, int]] = set()
        while living := self._living():
            now = time.monotonic()
            if now >= began + LEFTOVER_LIMIT_SECONDS:
                break
            # Not those that they start while they end.
            names = names or [f"{entry.name} ({entry.pid})" for entry in living]
            if now >= kill_at:
                _signal(living, signal.SIGKILL)
            else:
                # Once each: a program may act on every TERM.
                _signal([e for e in living if e.key not in signaled], signal.SIGTERM)
            signaled |= {entry.key for entry in living}
            time.sleep(POLL_SECONDS)
        else:
            self._stop_services()
        return names

    def _stop_services(self) -> None:
        """Stop the services of multiprocessing, so that the next run starts them again."""
        for service, _ in _services():
            # They end when their pipe closes, and nobody else holds it any more.
            with suppress(OSError, AttributeError):
                service._stop()

    def _living(self) -> list[Entry]:
        """Reap the children that have ended; return the programs that are alive."""
        entries = descendants(self._earlier)
        if any(entry.is_zombie for entry in entries):
            _reap(entry.pid for entry in entries if entry.is_zombie and _is_own(entry))
        services = set(_service_pids())
        return [entry for entry in entries if not entry.is_zombie and entry.pid not in services]


def ended_text(names: list[str]) -> str:
    """Return the line of a run's log about the programs that were ended with it."""
    programs = counted(len(names), "program")
    some_names = ", ".join(names[:20]) + (", …" if len(names) > 20 else "")
    verb = "was" if len(names) == 1 else "were"
    return (
        f"[jobs-app: {programs} of this run {verb} still running and {verb} ended: {some_names}]\n"
    )


def _signal(entries: Iterable[Entry], number: int) -> None:
    # A stopped process handles TERM only after CONT; KILL works at once.
    numbers = [number] if number == signal.SIGKILL else [number, signal.SIGCONT]
    for entry in entries:
        for signal_number in numbers:
            with suppress(OSError):
                os.kill(entry.pid, signal_number)


def _is_own(entry: Entry) -> bool:
    return entry.parent == os.getpid()


def _reap(pids: Iterable[int]) -> None:
    # Python's own list of its children reaps those that it knows.
    multiprocessing.active_children()
    for pid in pids:
        with suppress(OSError):
            os.waitpid(pid, os.WNOHANG)


def _service_pids() -> list[int]:
    return [pid for _, pid in _services()]


def _services() -> list[tuple[Any, int]]:
    """Return the services that multiprocessing has started in this process, and their pids."""
    services = []
    for module, name, attribute in SERVICES:
        service = getattr(sys.modules.get(module), name, None)
        pid = getattr(service, attribute, None)
        if pid is not None:
            services.append((service, pid))
    return services
