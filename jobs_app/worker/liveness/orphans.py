"""Ends the programs of a pool process that died: they do not outlive its run. Linux only.

The worker's main process is a subreaper. The children of a dead pool process become its
own children, which it otherwise has none of but the pool processes. Children from before,
which user code started in the main process, are left alone.
"""

import logging
import os
import signal
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

import billiard

from jobs_app.core.process_tree import Entry, children, descendants

log = logging.getLogger(__name__)

#: After the death of a pool process its programs are searched for this long, seconds.
SEARCH_SECONDS = 20.0

#: A child that is no pool process for this long is an orphan; a new pool process is unknown
#: for a moment.
ORPHAN_SECONDS = 0.3

#: Time between TERM and KILL, as for the leftover processes of a command, seconds.
GRACE_SECONDS = 2.0

#: A program that lives longer than this after its pool process is waited for no more, seconds.
LIMIT_SECONDS = 10.0

#: Time between two looks at the children of a worker whose pool is well, seconds.
LOOK_SECONDS = 10.0

Key = tuple[int, int]


def pool_pids() -> set[int]:
    """Return the living pool processes of this worker."""
    return {process.pid for process in billiard.active_children() if process.pid is not None}


class Orphans:
    """The children of the main process that are no pool processes; for one thread."""

    def __init__(self, pool: Callable[[], set[int]] = pool_pids) -> None:
        self._pool = pool
        self._pids = pool()
        self._earlier: frozenset[Key] = frozenset()
        self._next_look_at = 0.0
        self._search_until = 0.0
        self._seen: dict[Key, float] = {}

    @property
    def is_ending(self) -> bool:
        """Whether programs of a dead pool process are alive: no retry may overlap them.

        One that KILL does not end (a dead disk) does not count for ever.
        """
        now = time.monotonic()
        return any(now - seen < LIMIT_SECONDS for seen in self._seen.values())

    def check(self) -> None:
        """End the programs of pool processes that died; call this again and again."""
        now = time.monotonic()
        pids = self._pool()
        if self._pids - pids:
            self._search_until = now + SEARCH_SECONDS
        self._pids = pids
        if now < self._search_until:
            self._end(now)
        elif now >= self._next_look_at:
            self._next_look_at = now + LOOK_SECONDS
            self._seen.clear()
            self._earlier = frozenset(child.key for child in self._others())

    def _others(self) -> list[Entry]:
        return [child for child in children() if child.pid not in self._pids]

    def _end(self, now: float) -> None:
        orphans = [child for child in self._others() if child.key not in self._earlier]
        _reap(child for child in orphans if child.is_zombie)
        # A supervisor ends its command by itself, with the grace of its job.
        living = [c for c in orphans if not c.is_zombie and not _is_supervisor(c.pid)]
        self._seen = {child.key: self._seen.get(child.key, now) for child in living}
        for child in living:
            seconds = now - self._seen[child.key]
            if seconds >= ORPHAN_SECONDS:
                _signal(child, is_late=seconds >= GRACE_SECONDS)


def _signal(child: Entry, *, is_late: bool) -> None:
    number = signal.SIGKILL if is_late else signal.SIGTERM
    log.info("orphan_ended pid=%d name=%s signal=%s", child.pid, child.name, number.name)
    for entry in (child, *descendants(of=child.pid)):
        with suppress(OSError):
            os.kill(entry.pid, number)


def _reap(zombies: Iterable[Entry]) -> None:
    for zombie in zombies:
        with suppress(OSError):
            os.waitpid(zombie.pid, os.WNOHANG)


def _is_supervisor(pid: int) -> bool:
    try:
        return b"command_supervisor" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False
