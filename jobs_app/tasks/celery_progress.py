"""The states that Celery's tasks give themselves, as the progress of a run."""

from collections.abc import Mapping
from typing import Any


def from_celery(state: str | None, meta: Any) -> tuple[float | None, str | None, dict[str, Any]]:
    """Return the arguments of `self.update_state(state=…, meta=…)` as those of `report`.

    As in the tutorials, `current` and `total`, or `fraction`, give the fraction; `status` or
    `message` give the message. Without one the state is the message, unless it is PROGRESS.
    """
    fields = dict(meta) if isinstance(meta, Mapping) else {} if meta is None else {"value": meta}
    message = fields.get("status") or fields.get("message")
    if not isinstance(message, str):
        message = state if state and state != "PROGRESS" else None
    return _fraction_of(fields), message, fields


def _fraction_of(meta: Mapping[str, Any]) -> float | None:
    done, total = _number(meta.get("current")), _number(meta.get("total"))
    if done is not None and total:
        return done / total
    return _number(meta.get("fraction"))


def _number(value: Any) -> float | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    try:
        return float(value) if is_number else None
    except OverflowError:
        return None
