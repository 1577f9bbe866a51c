"""What the forms of people and tokens send, and their errors by field."""

from collections.abc import Mapping
from datetime import timedelta
from enum import StrEnum
from typing import Any, TypeVar

from flask import request

from jobs_app.accounts.people import Rights
from jobs_app.core import clock
from jobs_app.core.errors import FieldError, JobsError, refuse
from jobs_app.core.roles import Grant, Role, Scope
from jobs_app.core.text import rfc3339

Choice = TypeVar("Choice", bound=StrEnum)

#: How long a token may work, in days; 0: without an end.
DAYS = (7, 30, 90, 365, 0)


def tags_of(text: str) -> tuple[str, ...] | None:
    """Return the tags in *text*, which commas or spaces separate; None without any."""
    return tuple(dict.fromkeys(text.replace(",", " ").split())) or None


def rights() -> Rights:
    """Return role, grants and tags of the form; raises InvalidInput."""
    role = _choice(Role, "role", request.form.get("role", ""))
    grants = tuple(_choice(Grant, "grants", name) for name in request.form.getlist("grants"))
    return Rights(role, grants, tags_of(request.form.get("tags", "")))


def token_fields() -> dict[str, Any]:
    """Return the form of a new token as the API takes it."""
    scopes = request.form.getlist("scopes")
    tags = tags_of(request.form.get("tags", ""))
    fields: dict[str, Any] = {
        "name": request.form.get("name", "").strip(),
        "scopes": None if set(scopes) == set(Scope) else scopes,
        "tags": None if tags is None else list(tags),
        "expires_at": _end(request.form.get("days", "90")),
    }
    if owner := request.form.get("owner"):
        fields["owner"] = owner
    return fields


def errors_by_field(error: JobsError) -> Mapping[str, str]:
    """Return the sentences of *error* by the field that they are about, "" for none."""
    named: dict[str, str] = {}
    for fault in error.errors:
        named.setdefault(fault.pointer.strip("/").partition("/")[0], fault.detail)
    return named or {"": error.detail}


def _end(days: str) -> str | None:
    known = next((number for number in DAYS if str(number) == days), 90)
    return rfc3339(clock.now() + timedelta(days=known)) if known else None


def _choice(kind: type[Choice], field: str, text: str) -> Choice:
    if text not in {*kind}:
        refuse([FieldError(f"/{field}", "unknown", f"Choose one of {', '.join(kind)}.")])
    return kind(text)
