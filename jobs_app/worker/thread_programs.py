"""Ends the processes of multiprocessing that a run in a pool of threads has started. Linux only.

There a process does not tell whose it is, as all runs share its parent. So each start of a
process, and each making of a `multiprocessing.Pool`, is noted with its thread.
"""

import functools
import multiprocessing
import threading
from contextlib import suppress
from multiprocessing.pool import Pool, ThreadPool
from multiprocessing.process import BaseProcess
from typing import Any
from weakref import WeakSet

from jobs_app.core.process_tree import Entry, Tree, entry_of
from jobs_app.worker.run_programs import RunPrograms

#: The programs of the runs of this process, by the thread of the run.
_of_thread: dict[int, "ThreadPrograms"] = {}

#: Attribute of a method: it notes its calls.
NOTES = "jobs_notes"


def note_processes() -> None:
    """From now on, note the processes and pools that the runs of this process start."""
    if hasattr(BaseProcess.start, NOTES):
        return
    start, make_pool = BaseProcess.start, Pool.__init__

    @functools.wraps(start)
    def noting_start(self: BaseProcess) -> None:
        start(self)
        if (programs := _of_thread.get(threading.get_ident())) is not None:
            programs.note_process(self.pid)

    @functools.wraps(make_pool)
    def noting_make(self: Pool, *args: Any, **options: Any) -> None:
        make_pool(self, *args, **options)
        if (programs := _of_thread.get(threading.get_ident())) is not None:
            programs.note_pool(self)

    setattr(noting_start, NOTES, True)
    BaseProcess.start = noting_start  # type: ignore[method-assign]  # the reason is above
    Pool.__init__ = noting_make  # type: ignore[method-assign]  # the reason is above


class ThreadPrograms(RunPrograms):
    """The processes and pools of the run that starts now, in this thread."""

    def __init__(self) -> None:
        self._keys: set[tuple[int, int]] = set()
        self._pools: WeakSet[Pool] = WeakSet()
        self._thread = threading.get_ident()
        _of_thread[self._thread] = self

    def note_process(self, pid: int | None) -> None:
        """Note a process that the run has started."""
        entry = None if pid is None else entry_of(pid)
        if entry is not None:
            self._keys.add(entry.key)

    def note_pool(self, pool: Pool) -> None:
        """Note a pool that the run has made."""
        self._pools.add(pool)

    def wake(self) -> None:
        """Wake a task that waits for a result of its pools: an exception waits for it there."""
        for pool in list(self._pools):
            # Results, and iterators of results, that somebody may wait for.
            for result in list(pool._cache.values()):  # type: ignore[attr-defined]  # not in the stubs
                if (event := getattr(result, "_event", None)) is not None:
                    event.set()
                elif (condition := getattr(result, "_cond", None)) is not None:
                    with condition:
                        condition.notify_all()

    def signal(self, number: int) -> None:
        """Terminate the pools, which would replace their processes, and signal the others."""
        self._terminate_pools()
        super().signal(number)

    def kill(self) -> None:
        """Terminate the pools, and kill the processes."""
        self._terminate_pools()
        super().kill()

    def end(self, grace_seconds: float) -> list[str]:
        """End the processes as those of other runs; call it once, in the thread of the run."""
        _of_thread.pop(self._thread, None)
        self._terminate_pools()
        return super().end(grace_seconds) if self._keys else []

    def _terminate_pools(self) -> None:
        for pool in list(self._pools):
            if isinstance(pool, ThreadPool):
                # It has no processes, and the task may keep it for later runs.
                continue
            # It waits for the threads of the pool.
            threading.Thread(target=_terminate, args=(pool,), daemon=True).start()

    def _living(self) -> list[Entry]:
        found = (entry_of(pid) for pid, _ in self._keys)
        roots = [entry for entry in found if entry is not None and entry.key in self._keys]
        if any(entry.is_zombie for entry in roots):
            # It reaps those that have ended.
            multiprocessing.active_children()
        living = [entry for entry in roots if not entry.is_zombie]
        if not living:
            return []
        tree = Tree()
        children = (child for entry in living for child in tree.below(entry.pid))
        return [*living, *(child for child in children if not child.is_zombie)]

    def _stop_services(self) -> None:
        """Leave the services of multiprocessing to the other runs."""


def _terminate(pool: Pool) -> None:
    # It may be ending already, in the task.
    with suppress(Exception):
        pool.terminate()
