"""Celery's pools with one addition: before they wait for work, they write the held finish.

The hooks are in private parts of Celery's pools. The hook itself allows a process to hold a
finish, so without the hook nothing is held.
"""

import queue
import time
from collections.abc import Callable
from typing import Any

from celery.concurrency import asynpool, prefork, thread

from jobs_app.worker.completer import HOLD_SECONDS
from jobs_app.worker.execution import write_held_finish
from jobs_app.worker.pool_process import this_process

#: A pool process that ends waits this long until the worker has read its results, seconds.
RESULT_WAIT_SECONDS = 1.0

#: Pause between tries to remove a dead process, seconds, and the number of tries.
REMOVE_SECONDS = 0.05
REMOVE_TRIES = 20


class PoolWorker(asynpool.Worker):
    """A pool process that writes its held finish before it waits for the next job."""

    def _make_protected_receive(self, conn: Any) -> Callable[..., Any]:
        receive = super()._make_protected_receive(conn)  # type: ignore[misc]  # the stubs lack it
        poll = conn._reader.poll

        def receive_next() -> Any:
            process = this_process()
            process.can_hold_finish = True
            if process.completer.has_own and not poll(HOLD_SECONDS):
                write_held_finish()
            return receive()

        return receive_next

    def _ensure_messages_consumed(self, completed: int) -> bool:
        """Write the held finish before exit; return whether the worker read all results.

        A worker that stops does not read them any more. Celery would wait half a minute.
        """
        write_held_finish()
        give_up_at = time.monotonic() + RESULT_WAIT_SECONDS
        while self.on_ready_counter.value < completed:  # type: ignore[attr-defined]  # not in the stubs
            if time.monotonic() >= give_up_at:
                return False
            time.sleep(0.02)
        return True


class AsynPool(asynpool.AsynPool):
    """Celery's pool of processes, with PoolWorker as its processes."""

    Worker = PoolWorker

    _quick_put: Any
    _all_inqueues: set[int]
    _active_writes: set[int]
    _busy_workers: set[int]
    _pool: list[Any]

    def _create_write_handlers(self, hub: Any, **options: Any) -> None:
        """Write a job to a free process at once; Celery's pool waits for the next loop turn."""
        super()._create_write_handlers(hub, **options)  # type: ignore[misc]  # not in the stubs
        put, write = self._quick_put, hub.consolidate_callback

        def put_and_write(job: Any) -> None:
            put(job)
            free = self._all_inqueues - self._active_writes - self._busy_workers
            if free:
                write(list(free))

        self._quick_put = put_and_write

    def _event_process_exit(self, hub: Any, proc: Any) -> None:
        """Remove a dead process as soon as its pipe closes; Celery checks every 5 s."""
        super()._event_process_exit(hub, proc)  # type: ignore[misc]  # not in the stubs
        self._remove_dead(hub, proc, REMOVE_TRIES)

    def _remove_dead(self, hub: Any, proc: Any, tries: int) -> None:
        # The pipe closes a moment before the process becomes a zombie, so that the first try
        # often fails.
        if tries and proc in self._pool:
            self.maintain_pool()
            hub.call_later(REMOVE_SECONDS, self._remove_dead, hub, proc, tries - 1)

    def _process_cleanup_queues(self, proc: Any) -> None:
        """Report a dead process: it may have held the finish of its last run."""
        super()._process_cleanup_queues(proc)  # type: ignore[misc]  # not in the stubs
        this_process().report_gone(proc.pid)


class ProcessPool(prefork.TaskPool):
    """Celery's pool `prefork` with our hooks."""

    Pool = AsynPool


class WorkQueue(queue.Queue[Any]):
    """The queue in which the threads of a pool wait for work.

    Not a SimpleQueue: in CPython 3.11 its `get` with a time-out can wait for ever if another
    thread takes the item at the moment of the time-out.
    """

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        """Return the next work item; None means that the pool stops."""
        process = this_process()
        process.can_hold_finish = True
        if not process.completer.has_own:
            return super().get(block, timeout)
        try:
            work = super().get(timeout=HOLD_SECONDS)
        except queue.Empty:
            write_held_finish()
            return super().get(block, timeout)
        if work is None:
            write_held_finish()
        return work


class StoppableThreadPool(thread.TaskPool):
    """Celery's pool `threads`, which can also stop its runs; it uses no private name."""

    def terminate_job(self, pid: int, signal: Any = None) -> None:
        """Stop all runs: Celery calls this for each run, but only when the worker stops."""
        this_process().cancel_listener.stop_all()


class ThreadPool(StoppableThreadPool):
    """The pool `threads` with our hooks."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.executor._work_queue = WorkQueue()  # type: ignore[attr-defined]  # private
