"""Answers about one resource: its fields, its ETag and its address."""

from collections.abc import Iterable
from re import Pattern
from typing import Any

from flask import Response, jsonify
from pydantic import BaseModel

from jobs_app.core.errors import NotFound
from jobs_app.web.api import preconditions
from jobs_app.web.local_address import rooted


def as_json(model: type[BaseModel], row: object) -> dict[str, Any]:
    """Return *row* with the fields of *model*, as JSON."""
    return model.model_validate(row, from_attributes=True).model_dump(mode="json")


def all_as_json(model: type[BaseModel], rows: Iterable[object]) -> list[dict[str, Any]]:
    """Return *rows* with the fields of *model*, as JSON."""
    return [as_json(model, row) for row in rows]


def versioned(document: dict[str, Any], version: int) -> Response:
    """Answer with *document*, and with the ETag of *version*."""
    response = jsonify(document)
    response.headers["ETag"] = preconditions.etag(version)
    return response


def located(response: Response, status: int, path: str) -> Response:
    """Return *response* with *status*, and with the address of what the request made.

    *path* is below the root of the application.
    """
    response.status_code = status
    response.headers["Location"] = rooted(path)
    return response


def checked_name(pattern: Pattern[str], name: str, kind: str) -> str:
    """Return *name*; raises NotFound if no resource of *kind* can have it.

    The database gets no such name: it may refuse its characters.
    """
    if not pattern.fullmatch(name):
        raise NotFound(f"There is no {kind} of that name.", code=f"{kind}_not_found")
    return name
