"""The strategy of runs: passes a run's message to the pool, without Celery's unneeded steps.

In Celery a task can choose how its messages are handled (`Task.Strategy`) and what stands for
a message in the worker (`Request`). Ours pass run id and attempt to the pool. A run's message
has no ETA, expiry or rate limit, is revoked in the database, and needs no tracer here.
"""

import threading
import time
from collections.abc import Callable, Iterable
from typing import Any
from uuid import UUID
from weakref import ref

from celery import Celery
from celery.exceptions import InvalidTaskError
from celery.worker.state import task_ready, task_reserved

from jobs_app.runs.messages import read_arguments
from jobs_app.tasks.any_task import AnyTask
from jobs_app.worker.celery_hooks.events import EventRequest
from jobs_app.worker.celery_hooks.prefetch import Prefetch
from jobs_app.worker.execution import run_in_pool
from jobs_app.worker.pool_process import this_process


class RunRequest(EventRequest):
    """A run's message in the worker. Celery's own code notices the death of its process.

    `on_finished` is called with the run's duration, seconds, when its slot is free.
    """

    def __init__(
        self, message: Any, *, on_finished: Callable[[float], object], **options: Any
    ) -> None:
        super().__init__(message, **options)
        self._on_finished = on_finished
        self._started_at = time.monotonic()

    def execute_using_pool(self, pool: Any, **_: Any) -> Any:
        """Send the run to the pool."""
        self._started_at = time.monotonic()
        limits: Any = self.time_limits
        limit, soft_limit = limits
        result = pool.apply_async(
            run_in_pool,
            args=tuple(self.args),
            accept_callback=self.on_accepted,
            timeout_callback=self.on_timeout,
            callback=self.on_success,
            error_callback=self.on_failure,
            soft_timeout=soft_limit,
            timeout=limit,
            correlation_id=self.id,
        )
        self._apply_result = None if result is None else ref(result)
        return result

    def on_success(self, failed__retval__runtime: tuple[bool, Any, float], **_: Any) -> None:
        """Release the request: the outcome is in the database or held."""
        failed, info, runtime = failed__retval__runtime
        if failed:
            # As for a dead process: the signal handler finishes the run.
            self.on_failure(info)
            return
        task_ready(self)
        if info is not None:
            self.send_event("task-succeeded", result=info, runtime=runtime)
        if self.worker_pid:
            run_id, attempt = self.args
            this_process().note_last_run(int(self.worker_pid), UUID(run_id), attempt)
        self._notify_finished()

    def on_failure(self, *args: Any, **options: Any) -> None:
        """Release the request; Celery's signal makes the heartbeat finish the run."""
        try:
            super().on_failure(*args, **options)
        finally:
            self._notify_finished()

    def _notify_finished(self) -> None:
        self._on_finished(time.monotonic() - self._started_at)


def run_strategy(task: AnyTask, app: Celery, consumer: Any) -> Callable[..., None]:
    """Return the function that the consumer calls with each message of a run."""

    prefetch: Prefetch = consumer.prefetch

    def on_finished(seconds: float) -> None:
        prefetch.note_finished(seconds)
        if threading.current_thread() is threading.main_thread():
            prefetch.deliver()
        else:
            # This also wakes the event loop. In a pool of threads it would otherwise fetch the
            # next message up to a second later.
            consumer.call_soon(prefetch.deliver)

    common = {
        "app": app,
        "task": task,
        "hostname": consumer.hostname,
        "eventer": consumer.event_dispatcher,
        "connection_errors": consumer.connection_errors,
        "on_finished": on_finished,
    }

    def handle(
        message: Any, body: Any, ack: Any, reject: Any, callbacks: Iterable[Callable[[Any], None]]
    ) -> None:
        payload = _checked(message.payload if body is None else None)
        request = RunRequest(
            message,
            body=payload,
            headers=message.headers,
            decoded=True,
            on_ack=ack,
            on_reject=reject,
            **common,
        )

        request.send_received()

        def deliver() -> None:
            task_reserved(request)
            for callback in callbacks:
                callback(request)
            consumer.on_task_request(request)

        prefetch.receive(message.delivery_tag, deliver, may_wait=True)

    return handle


def _checked(payload: Any) -> tuple[tuple[str, int], dict[str, Any], dict[str, Any]]:
    """Return the payload with a checked run id and attempt; raises InvalidTaskError."""
    try:
        arguments, _, _ = payload
        run_id, attempt = read_arguments(arguments)
    except (TypeError, ValueError) as error:
        raise InvalidTaskError(str(error)) from error
    return (str(run_id), attempt), {}, {}
