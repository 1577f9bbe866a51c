"""How far a run has come: what its task reports, stored now and then by a thread of its own."""

import json
import logging
import math
import threading
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, NamedTuple

from celery import Task

from jobs_app.core import clock
from jobs_app.core.text import rfc3339
from jobs_app.tasks.context import current_run
from jobs_app.worker.output.error_text import message_of, plain

#: Time between two writes of a run, seconds.
WRITE_SECONDS = 0.5

#: How long the end of a run waits for a write under way, seconds.
CLOSE_SECONDS = 5.0

#: Most that is kept of a message, characters, and of `meta`, bytes of JSON.
MESSAGE_CHARS = 500
META_BYTES = 16_384

log = logging.getLogger(__name__)


class _Report(NamedTuple):
    """What a task reported; made into what is stored only when it is stored."""

    fraction: float | None
    message: object
    meta: dict[str, Any] | None
    at: datetime


class Progress:
    """The progress of one attempt. Where nothing is reported it costs nothing.

    *write* stores what `GET /runs/{id}` shows; what it raises is passed over, because a
    run does not fail for want of progress. *mask* takes secrets out. `close` returns what
    is still to be stored.
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
        """Take how far the run has come; after `close` it is ignored."""
        number = None if fraction is None else float(fraction)
        # A copy: the task may go on to change its own.
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
        """Stop, and return the newest report if it is not stored yet."""
        with self._state:
            self._is_closed = True
            self._state.notify_all()
        if self._thread is not None:
            self._thread.join(CLOSE_SECONDS)
        with self._state:
            return None if self._pending is None else self._shown(self._pending)

    def _work(self) -> None:
        while True:
            with self._state:
                self._state.wait_for(lambda: self._pending is not None or self._is_closed)
                report = self._pending
                if report is None or self._is_closed:
                    return
            is_stored = self._stores(report)
            with self._state:
                if is_stored and self._pending is report:
                    self._pending = None
                self._state.wait_for(lambda: self._is_closed, self._write_seconds)

    def _stores(self, report: _Report) -> bool:
        try:
            self._write(self._shown(report))
        except Exception as error:  # noqa: BLE001  # the thread outlives an outage
            log.warning("progress_not_stored error=%s", type(error).__name__)
            return False
        return True

    def _shown(self, report: _Report) -> dict[str, Any]:
        # Masked as text, and before it is cut: half a secret would not be found.
        message = None if report.message is None else self._mask(message_of(report.message))
        meta = None if report.meta is None else self._mask(_as_json(report.meta))
        return {
            "fraction": None if report.fraction is None else _clamped(report.fraction),
            "message": None if message is None else _cut(message, MESSAGE_CHARS),
            "meta": None if meta is None else _bounded(meta),
            "at": rfc3339(report.at),
        }


def divert_update_state(task: Task[Any, Any]) -> None:
    """Have `self.update_state()` in a run tell the run; of another task, whom it always told."""
    original = task.update_state

    def update_state(
        task_id: str | None = None, state: str | None = None, meta: Any = None, **options: Any
    ) -> None:
        context = current_run.get(None)
        if context is not None and context.progress and task_id in (None, str(context.run_id)):
            context.progress.report(*of_celery(state, meta))
        else:
            original(task_id=task_id, state=state, meta=meta, **options)

    task.update_state = update_state  # type: ignore[method-assign]


def of_celery(state: str | None, meta: Any) -> tuple[float | None, str | None, dict[str, Any]]:
    """Return what `self.update_state(state=…, meta=…)` says, as the arguments of `report`.

    `current` and `total`, or `fraction`, are how far; `status` or `message` the words, as
    the tutorials have them. A state of the task's own (other than PROGRESS) stands in for
    words that are missing.
    """
    told = dict(meta) if isinstance(meta, Mapping) else {} if meta is None else {"value": meta}
    words = told.get("status") or told.get("message")
    if not isinstance(words, str):
        words = state if state and state != "PROGRESS" else None
    return _fraction_of(told), words, told


def _fraction_of(meta: Mapping[str, Any]) -> float | None:
    done, total = _number(meta.get("current")), _number(meta.get("total"))
    if done is not None and total:
        return done / total
    return _number(meta.get("fraction"))


def _number(value: Any) -> float | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number else None


def _clamped(fraction: float) -> float | None:
    return None if math.isnan(fraction) else round(min(max(fraction, 0.0), 1.0), 6)


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


def _as_json(meta: dict[str, Any]) -> dict[str, Any]:
    """Return *meta* as JSON, whatever is in it, with texts that every database stores."""
    try:
        text = json.dumps(meta, default=str, allow_nan=False, skipkeys=True, ensure_ascii=False)
    except Exception as error:  # noqa: BLE001  # what is in it may have methods of its own
        return {"unstorable": type(error).__name__}
    stored: dict[str, Any] = json.loads(plain(text.replace("\\u0000", "\ufffd")))
    return stored


def _bounded(meta: dict[str, Any]) -> dict[str, Any]:
    size = len(json.dumps(meta, ensure_ascii=False).encode())
    return meta if size <= META_BYTES else {"truncated": True, "bytes": size}
