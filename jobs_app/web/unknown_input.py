"""Input that a route does not know is refused, also where the route takes none at all.

`POST …/pause?dry_run=true` must not pause, if pausing cannot be tried first.
"""

import inspect
from collections.abc import Callable
from functools import cache

from flask import Flask, Response, current_app, request
from pydantic import ValidationError

from jobs_app.web.api.schemas.base import NoBody, NoQuery, on_invalid
from jobs_app.web.pages.api_docs import blueprint as pages
from jobs_app.web.permissions import is_page


def register(app: Flask) -> None:
    """Check each request of *app* before its route sees it; register this after `auth`."""
    app.before_request(_refuse)


def _refuse() -> Response | None:
    # Files are often asked for with a version that nobody reads; links to pages grow in mails.
    if request.endpoint is None or request.blueprint == pages.name or is_page():
        return None
    parameters = _parameters(request.endpoint)
    try:
        if request.args and "query" not in parameters:
            NoQuery.model_validate(request.args.to_dict())
        if "body" not in parameters and request.method != "OPTIONS" and _has_body():
            NoBody.model_validate(request.get_json())
    except ValidationError as error:
        return on_invalid(error)
    return None


def _has_body() -> bool:
    return bool(request.content_length) or "Transfer-Encoding" in request.headers


def _parameters(endpoint: str) -> frozenset[str]:
    """Return the names of what flask-openapi3 hands to a view: path, query, header, body."""
    return _names(current_app.view_functions[endpoint])


@cache
def _names(view: Callable[..., object]) -> frozenset[str]:
    return frozenset(inspect.signature(view).parameters)
