"""Celery's pools with one habit more: before they wait, they write the end that is held back.

Both hook into how Celery's pools wait for work, which is nobody's promise. Where the hook is
not called, nothing is held back either: it is the hook that allows it.
"""

import queue
import time
from collections.abc import Callable
from typing import Any

from celery.concurrency import asynpool, prefork, thread

from jobs_app.worker.completer import HOLD_SECONDS
from jobs_app.worker.execution import write_held_finish
from jobs_app.worker.pool_process import this_process

#: How long a pool process that ends waits for the worker to hear of its jobs, seconds.
HEARD_SECONDS = 1.0

#: Pauses between looks at a process whose end was heard of, and how many there are.
BURIAL_SECONDS = 0.05
BURIAL_LOOKS = 20


class PoolWorker(asynpool.Worker):
    """A process of the pool: it waits for a job, does it, and waits for the next one."""

    def _make_protected_receive(self, conn: Any) -> Callable[..., Any]:
        receive = super()._make_protected_receive(conn)  # type: ignore[misc]  # the stubs lack it
        has_come = conn._reader.poll

        def receive_next() -> Any:
            process = this_process()
            process.can_hold_finish = True
            if process.completer.has_own and not has_come(HOLD_SECONDS):
                write_held_finish()
            return receive()

        return receive_next

    def _ensure_messages_consumed(self, completed: int) -> bool:
        """Leave nothing unwritten when the process ends; tell whether the worker heard of it all.

        A worker that stops forgets what it has given out and not seen accepted yet. Celery's
        own processes would wait for half a minute then to be heard.
        """
        write_held_finish()
        give_up_at = time.monotonic() + HEARD_SECONDS
        while self.on_ready_counter.value < completed:  # type: ignore[attr-defined]
            if time.monotonic() >= give_up_at:
                return False
            time.sleep(0.02)
        return True


class AsynPool(asynpool.AsynPool):
    """Celery's pool of processes, made of ours."""

    Worker = PoolWorker

    _quick_put: Any
    _all_inqueues: set[int]
    _active_writes: set[int]
    _busy_workers: set[int]
    _pool: list[Any]

    def _create_write_handlers(self, hub: Any, **options: Any) -> None:
        """Give a job to a free process at once; Celery's pool does it when its loop turns."""
        super()._create_write_handlers(hub, **options)  # type: ignore[misc]
        put, write = self._quick_put, hub.consolidate_callback

        def put_and_write(job: Any) -> None:
            put(job)
            free = self._all_inqueues - self._active_writes - self._busy_workers
            if free:
                write(list(free))

        self._quick_put = put_and_write

    def _event_process_exit(self, hub: Any, proc: Any) -> None:
        """Bury a process whose pipe has closed, and not only when Celery looks again in 5 s."""
        super()._event_process_exit(hub, proc)  # type: ignore[misc]
        self._see_buried(hub, proc, BURIAL_LOOKS)

    def _see_buried(self, hub: Any, proc: Any, looks: int) -> None:
        # The pipe closes a moment before the process can be waited for: the first look, made
        # at once, often finds it alive.
        if looks and proc in self._pool:
            self.maintain_pool()
            hub.call_later(BURIAL_SECONDS, self._see_buried, hub, proc, looks - 1)

    def _process_cleanup_queues(self, proc: Any) -> None:
        """Tell that a process is gone: it may have held back how its last run ended."""
        super()._process_cleanup_queues(proc)  # type: ignore[misc]
        this_process().report_gone(proc.pid)


class ProcessPool(prefork.TaskPool):
    """The pool `prefork`."""

    Pool = AsynPool


class Work(queue.Queue[Any]):
    """Where the threads of a pool wait for work.

    No SimpleQueue: where another thread takes what has woken this one, just when its time is
    over, that waits for ever (CPython 3.11).
    """

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        """Return the next piece of work; None says that the pool stops."""
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


class ThreadPool(thread.TaskPool):
    """The pool `threads`. Celery's own cannot end what it runs, and waits for it for ever."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.executor._work_queue = Work()  # type: ignore[attr-defined]

    def terminate_job(self, pid: int, signal: Any = None) -> None:
        """End all runs: Celery asks for each of them, but only when the worker stops."""
        this_process().cancel_listener.stop_all()
