"""How far a run has come: what its task reports, stored now and then by a thread of its own."""

import json
import logging
import math
import threading
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from celery import Task

from jobs_app import clock
from jobs_app.context import current_run
from jobs_app.worker.texts import plain

#: Time between two writes of a run, seconds.
WRITE_SECONDS = 0.5

#: How long the end of a run waits for a write under way, seconds.
CLOSE_SECONDS = 5.0

#: Most that is kept of a message, characters, and of `meta`, bytes of JSON.
MESSAGE_CHARS = 500
META_BYTES = 16_384

log = logging.getLogger(__name__)


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
        self._pending: dict[str, Any] | None = None
        self._is_closed = False
        self._thread: threading.Thread | None = None

    def report(
        self, fraction: float | None, message: str | None, meta: dict[str, Any] | None
    ) -> None:
        """Take how far the run has come; after `close` it is ignored."""
        # First, and then cut: half a secret would not be found.
        shown = _shown(fraction, self._mask(message), self._mask(meta), self._now())
        with self._state:
            if self._is_closed:
                return
            self._pending = shown
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
            return self._pending

    def _work(self) -> None:
        while True:
            with self._state:
                self._state.wait_for(lambda: self._pending is not None or self._is_closed)
                shown = self._pending
                if shown is None or self._is_closed:
                    return
            is_stored = self._stores(shown)
            with self._state:
                if is_stored and self._pending is shown:
                    self._pending = None
                self._state.wait_for(lambda: self._is_closed, self._write_seconds)

    def _stores(self, shown: dict[str, Any]) -> bool:
        try:
            self._write(shown)
        except Exception as error:  # noqa: BLE001  # the thread outlives an outage
            log.warning("progress_not_stored error=%s", type(error).__name__)
            return False
        return True


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


def _shown(
    fraction: float | None, message: str | None, meta: dict[str, Any] | None, at: datetime
) -> dict[str, Any]:
    return {
        "fraction": None if fraction is None else _clamped(fraction),
        "message": None if message is None else _cut(plain(str(message)), MESSAGE_CHARS),
        "meta": _storable(meta) if meta else None,
        "at": at.isoformat().replace("+00:00", "Z"),
    }


def _clamped(fraction: float) -> float | None:
    number = float(fraction)
    return None if math.isnan(number) else round(min(max(number, 0.0), 1.0), 6)


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


def _storable(meta: dict[str, Any]) -> dict[str, Any]:
    try:
        text = json.dumps(meta, default=str, allow_nan=False, skipkeys=True, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError) as error:
        return {"unstorable": type(error).__name__}
    if (size := len(text.encode("utf-8", "replace"))) > META_BYTES:
        return {"truncated": True, "bytes": size}
    stored: dict[str, Any] = json.loads(plain(text.replace("\\u0000", "\ufffd")))
    return stored
