"""Keeps the secrets of active runs out of the output of the process itself."""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from jobs_app.worker.output.secret_masking import Mask, masked_data

_active_masks: tuple[Mask, ...] = ()
_active_lock = threading.Lock()


@contextmanager
def mask_process_output(mask: Mask) -> Iterator[None]:
    """During the block, keep the secrets of *mask* out of this process's own output too."""
    global _active_masks
    if not mask:
        yield
        return
    with _active_lock:
        _active_masks = (*_active_masks, mask)
    try:
        yield
    finally:
        with _active_lock:
            _active_masks = tuple(active for active in _active_masks if active is not mask)


def masked(value: Any) -> Any:
    """Return a JSON value without the secrets of this process's active runs."""
    for mask in _active_masks:
        value = mask.json(value)
    return value


def masked_bytes(data: bytes) -> bytes:
    """Return output without the secrets of this process's active runs."""
    for mask in _active_masks:
        data = masked_data(mask, data)
    return data


class MaskedRecords:
    """A log record factory whose records hold no secrets of this process's active runs."""

    def __init__(self, make: Callable[..., logging.LogRecord]) -> None:
        self._make = make

    def __call__(self, *args: Any, **kwargs: Any) -> logging.LogRecord:
        record = self._make(*args, **kwargs)
        if _active_masks:
            _clean(record)
        return record


def _clean(record: logging.LogRecord) -> None:
    try:
        message = record.getMessage()
    except Exception:  # noqa: BLE001  # user objects may raise; logging itself reports it
        message = f"{record.msg!r} % {record.args!r}"
    record.msg, record.args = masked(message), None
    if record.exc_info:
        # Formatters use this text if it is set.
        record.exc_text = masked(logging.Formatter().formatException(record.exc_info))
        record.exc_info = None
    record.stack_info = masked(record.stack_info)
