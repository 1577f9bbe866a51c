"""From a run's message to the pool: Celery's way, without what a run has no use for.

Celery lets a task say what is done with its messages (`Task.Strategy`) and what stands
for one of them in the worker (a `Request`). Ours hands run id and attempt to the pool,
and nothing else. A run's message has no ETA, no expiry and no rate limit, is revoked in
the database, and needs no tracer: the run's own task gets one.
"""

import threading
import time
from collections.abc import Callable, Iterable
from typing import Any
from uuid import UUID
from weakref import ref

from celery import Celery, Task
from celery.exceptions import InvalidTaskError
from celery.worker.request import Request
from celery.worker.state import task_ready, task_reserved

from jobs_app.worker.celery_hooks.prefetch import Prefetch
from jobs_app.worker.execution import run_in_pool
from jobs_app.worker.pool_process import this_process


class RunRequest(Request):
    """A run's message while the worker has it; the death of its process is Celery's to see.

    `on_finished` is told how long the run has taken, when the pool has room for another one.
    """

    def __init__(
        self, message: Any, *, on_finished: Callable[[float], object], **given: Any
    ) -> None:
        super().__init__(message, **given)
        self._on_finished = on_finished
        self._started_at = time.monotonic()

    def execute_using_pool(self, pool: Any, **_: Any) -> Any:
        """Give the run to the pool."""
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
        """Let the request go: the outcome is in the database."""
        failed, info, _seconds = failed__retval__runtime
        if failed:
            # As with a process that died: whoever listens ends the run.
            self.on_failure(info)
            return
        task_ready(self)
        if self.worker_pid:
            run_id, attempt = self.args
            this_process().note_last_run(int(self.worker_pid), UUID(run_id), attempt)
        self._notify_finished()

    def on_failure(self, *args: Any, **options: Any) -> None:
        """Let the request go, and have whoever listens end the run."""
        try:
            super().on_failure(*args, **options)
        finally:
            self._notify_finished()

    def _notify_finished(self) -> None:
        self._on_finished(time.monotonic() - self._started_at)


def run_strategy(task: Task[Any, Any], app: Celery, consumer: Any) -> Callable[..., None]:
    """Return what the consumer is to call with each message about a run."""

    prefetch: Prefetch = consumer.prefetch

    def go_on(seconds: float) -> None:
        prefetch.note_finished(seconds)
        if threading.current_thread() is threading.main_thread():
            prefetch.deliver()
        else:
            # It also has the worker's loop turn, which among threads would otherwise look for
            # the next message when it turns for another reason: a second later.
            consumer.call_soon(prefetch.deliver)

    common = {
        "app": app,
        "task": task,
        "hostname": consumer.hostname,
        "eventer": consumer.event_dispatcher,
        "connection_errors": consumer.connection_errors,
        "on_finished": go_on,
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

        def deliver() -> None:
            task_reserved(request)
            for callback in callbacks:
                callback(request)
            consumer.on_task_request(request)

        prefetch.receive(message.delivery_tag, deliver, may_wait=True)

    return handle


def _checked(payload: Any) -> tuple[tuple[str, int], dict[str, Any], dict[str, Any]]:
    """Return run id and attempt as the arguments of a call; raises InvalidTaskError."""
    try:
        (run_id, attempt), _, _ = payload
        return (str(UUID(run_id)), int(attempt)), {}, {}
    except (TypeError, ValueError, AttributeError) as error:
        raise InvalidTaskError("A run's message has a run id and an attempt.") from error
