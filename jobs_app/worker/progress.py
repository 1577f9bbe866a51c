"""The progress that a task reports, stored from time to time by a thread of its own."""

import json
import logging
import math
import threading
from collections.abc import Callable
from datetime import datetime
from typing import Any, NamedTuple

from jobs_app.core import clock
from jobs_app.core.json_storage import TooLarge, as_json
from jobs_app.core.text import rfc3339, text_of
from jobs_app.db.errors import error_name, is_outage
from jobs_app.tasks.any_task import AnyTask
from jobs_app.tasks.celery_progress import from_celery
from jobs_app.tasks.context import current_run
from jobs_app.worker.output.routing import leave_run_output

#: Time between two writes of a run's progress, seconds.
WRITE_SECONDS = 0.5

#: At the end of a run, wait this long for the write in progress, seconds.
CLOSE_SECONDS = 5.0

#: Limits of a message, characters, and of `meta`, bytes of JSON.
MESSAGE_CHARS = 500
META_BYTES = 16_384

log = logging.getLogger(__name__)


class _Report(NamedTuple):
    """A report of the task; turned into JSON only when it is stored."""

    fraction: float | None
    message: object
    meta: dict[str, Any] | None
    at: datetime


class Progress:
    """The progress of one attempt. Without reports it costs nothing.

    *write* stores the JSON that `GET /runs/{id}` shows. Its errors are ignored: a run does not
    fail because progress cannot be stored. *mask* takes secrets out.
    """

    def __init__(
        self,
        write: Callable[[dict[str, Any]], object],
        *,
        mask: Callable[[Any], Any] = lambda value: value,
        now: Callable[[], datetime] = clock.now,
        write_seconds: float = WRITE_SECONDS,
    ) -> None:
        self._write = write
        self._mask = mask
        self._now = now
        self._write_seconds = write_seconds
        self._state = threading.Condition()
        self._pending: _Report | None = None
        self._is_closed = False
        self._thread: threading.Thread | None = None

    def report(
        self, fraction: float | None, message: str | None, meta: dict[str, Any] | None
    ) -> None:
        """Take a report; ignored after `close`."""
        number = None if fraction is None else float(fraction)
        # A copy: the task may change its own later.
        report = _Report(number, message, dict(meta) if meta else None, self._now())
        with self._state:
            if self._is_closed:
                return
            self._pending = report
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="progress", daemon=True)
                self._thread.start()
            self._state.notify_all()

    def close(self) -> dict[str, Any] | None:
        """Stop, and return the newest report as JSON if it is not stored yet."""
        with self._state:
            self._is_closed = True
            self._state.notify_all()
        if self._thread is not None:
            self._thread.join(CLOSE_SECONDS)
        with self._state:
            return None if self._pending is None else self._as_json(self._pending)

    def _work(self) -> None:
        leave_run_output()
        while True:
            with self._state:
                self._state.wait_for(lambda: self._pending is not None or self._is_closed)
                report = self._pending
                if report is None or self._is_closed:
                    return
            is_stored = self._try_write(report)
            with self._state:
                if is_stored and self._pending is report:
                    self._pending = None
                self._state.wait_for(lambda: self._is_closed, self._write_seconds)

    def _try_write(self, report: _Report) -> bool:
        try:
            self._write(self._as_json(report))
        except Exception as error:  # noqa: BLE001  # the thread outlives an outage
            log.warning("progress_not_stored error=%s", error_name(error))
            # A report that the database refuses is dropped: the next one may be better.
            return not is_outage(error)
        return True

    def _as_json(self, report: _Report) -> dict[str, Any]:
        # Mask before the cut: half a secret would not be found.
        message = None if report.message is None else self._mask(text_of(report.message))
        if message is not None and len(message) > MESSAGE_CHARS:
            message = message[: MESSAGE_CHARS - 1] + "…"
        meta = None if report.meta is None else _meta_as_json(report.meta, self._mask)
        return {
            "fraction": None if report.fraction is None else _clamped(report.fraction),
            "message": message,
            "meta": meta,
            "at": rfc3339(report.at),
        }


def divert_update_state(task: AnyTask) -> None:
    """Make `self.update_state()` of *task* report the progress of the current run."""
    original = task.update_state

    def update_state(
        task_id: str | None = None, state: str | None = None, meta: Any = None, **options: Any
    ) -> None:
        context = current_run.get(None)
        if context is not None and context.progress and task_id in (None, str(context.run_id)):
            context.progress.report(*from_celery(state, meta))
        else:
            original(task_id=task_id, state=state, meta=meta, **options)

    task.update_state = update_state  # type: ignore[method-assign]  # Celery allows it


def _clamped(fraction: float) -> float | None:
    return None if math.isnan(fraction) else round(min(max(fraction, 0.0), 1.0), 6)


def _meta_as_json(meta: dict[str, Any], mask: Callable[[Any], Any]) -> dict[str, Any]:
    """Return *meta* as masked JSON, whatever it contains; only its size if it is too large."""
    try:
        converted = mask(as_json(meta, most_parts=META_BYTES)[0])
    except TooLarge as error:
        return {"truncated": True, "bytes": error.size}
    size = len(json.dumps(converted, ensure_ascii=False).encode())
    return converted if size <= META_BYTES else {"truncated": True, "bytes": size}
