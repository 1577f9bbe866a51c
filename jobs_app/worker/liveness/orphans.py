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

from jobs_app.core.process_tree import Entry, Tree

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

#: Time between two looks at the children of a worker whose pool is well, seconds. A child that
#: has ended before one look, and is there at the next, is one that nobody waits for.
LOOK_SECONDS = 10.0

#: The log names this many orphans at each look; a program may leave thousands.
MAX_NAMED = 20

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
        self._ended: frozenset[Key] = frozenset()
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
        if self._pids - pids or self.is_ending:
            self._search_until = now + SEARCH_SECONDS
        self._pids = pids
        if now < self._search_until:
            self._end(now)
        elif now >= self._next_look_at:
            self._next_look_at = now + LOOK_SECONDS
            self._look()

    def _look(self) -> None:
        """Note the children of a worker whose pool is well, and reap those that have ended."""
        others = self._others(Tree())
        _reap(child for child in others if child.key in self._ended)
        self._seen.clear()
        self._earlier = frozenset(child.key for child in others)
        self._ended = frozenset(child.key for child in others if child.is_zombie)

    def _others(self, tree: Tree) -> list[Entry]:
        return [child for child in tree.children(os.getpid()) if child.pid not in self._pids]

    def _end(self, now: float) -> None:
        tree = Tree()
        orphans = [child for child in self._others(tree) if child.key not in self._earlier]
        _reap(child for child in orphans if child.is_zombie)
        # A supervisor ends its command by itself, with the grace of its job.
        living = [c for c in orphans if not c.is_zombie and not _is_supervisor(c.pid)]
        self._seen = {child.key: self._seen.get(child.key, now) for child in living}
        known = [child for child in living if now - self._seen[child.key] >= ORPHAN_SECONDS]
        for child in known:
            is_late = now - self._seen[child.key] >= GRACE_SECONDS
            number = signal.SIGKILL if is_late else signal.SIGTERM
            _signal((child, *tree.below(child.pid)), number)
        _log(known)


def _signal(entries: Iterable[Entry], number: int) -> None:
    for entry in entries:
        with suppress(OSError):
            os.kill(entry.pid, number)


def _log(ended: list[Entry]) -> None:
    for child in ended[:MAX_NAMED]:
        log.info("orphan_ended pid=%d name=%s", child.pid, child.name)
    if len(ended) > MAX_NAMED:
        log.info("orphans_ended more=%d", len(ended) - MAX_NAMED)


def _reap(zombies: Iterable[Entry]) -> None:
    for zombie in zombies:
        with suppress(OSError):
            os.waitpid(zombie.pid, os.WNOHANG)


def _is_supervisor(pid: int) -> bool:
    try:
        return b"command_supervisor" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False
