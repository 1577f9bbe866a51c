"""The text that Celery's tracer makes of a result, for a log line that nobody writes.

The tracer makes it before it notes that the task succeeded. So a result whose class fails to
give a text, or an integer of more than 4,300 digits, would be an error of the run.
"""

from typing import Any

from celery.app import trace as celery_trace

# Typed Any: the stubs do not know what the module imports.
trace: Any = celery_trace


def tolerate_results_without_text() -> None:
    """Make Celery's tracers accept results of which no text can be made."""
    if trace.saferepr is not _text:
        trace.saferepr = _text


_saferepr = trace.saferepr


def _text(value: Any, maxlen: int | None = None) -> str:
    try:
        text: str = _saferepr(value, maxlen)
        return text
    except Exception:  # noqa: BLE001  # the class of a result is user code
        return f"({type(value).__name__})"
