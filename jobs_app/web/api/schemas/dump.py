"""Turns an answer into JSON, also if the database holds a value that JSON cannot show."""

import math
from typing import Any

from pydantic import BaseModel
from pydantic_core import PydanticSerializationError

from jobs_app.accounts.permissions import Action
from jobs_app.core.json_storage import UNREADABLE
from jobs_app.secrets import redaction
from jobs_app.web.permissions import may


def shown_kwargs(kwargs: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of a run with their secrets masked, or all of them.

    All, if the caller may only read or start.
    """
    if not may(Action.SEE_ARGUMENTS):
        return dict.fromkeys(kwargs, redaction.MASK)
    try:
        return redaction.redacted(kwargs)
    except RecursionError:
        return {"unreadable": UNREADABLE}


def shown_job_kwargs(kwargs: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of a job, masked if the caller may only read or start."""
    return kwargs if may(Action.SEE_ARGUMENTS) else dict.fromkeys(kwargs, redaction.MASK)


def shown_result(result: Any) -> Any:
    """Return the result of a run; SQLite reads a number of 400 digits as infinity."""
    return None if isinstance(result, float) and not math.isfinite(result) else result


def dumped(model: BaseModel) -> dict[str, Any]:
    """Return *model* as JSON; a field that cannot be shown is a sentence, the others stay."""
    try:
        return model.model_dump(mode="json")
    except (PydanticSerializationError, ValueError, RecursionError):
        return {name: _field(model, name) for name in type(model).model_fields}


def _field(model: BaseModel, name: str) -> Any:
    value = getattr(model, name)
    if isinstance(value, BaseModel):
        return dumped(value)
    try:
        return model.model_dump(mode="json", include={name})[name]
    except (PydanticSerializationError, ValueError, RecursionError):
        # Whoever reads an object finds one.
        return {"unreadable": UNREADABLE} if isinstance(value, dict) else UNREADABLE
