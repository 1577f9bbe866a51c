"""How a run ended, in words and on one line."""

import json
from typing import Any

from jobs_app.cli.client import Json


def outcome_line(run: Json) -> str:
    """Return how a run ended, and why if that is known, on one line."""
    why = reason_text(run)
    line = f"Run {run['id']}: {run['state'].replace('_', ' ')}"
    return f"{line}, {why}" if why else line


def reason_text(outcome: Json) -> str:
    """Return why a run ended as it did: its reason, or the first line of its error, or ""."""
    return outcome.get("reason") or (error_text(outcome.get("error")) or "").partition("\n")[0]


def compact(value: Any) -> str | None:
    """Return a JSON value on one line; None for null and for {}."""
    if value is None or value == {}:
        return None
    return json.dumps(value, ensure_ascii=False)


def error_text(error: Json | None) -> str | None:
    """Return an error as a sentence, followed by its traceback if it has one."""
    if not error:
        return None
    first = f"{error.get('type') or 'Error'}: {error.get('message') or ''}".rstrip(": ")
    return "\n".join(filter(None, [first, error.get("traceback")]))
