"""Errors as `application/problem+json` (RFC 9457): a stable code, and a pointer for each field."""

import json
import logging
from collections.abc import Iterable, Mapping
from typing import Any

from flask import Flask, Response, current_app
from sqlalchemy.exc import SQLAlchemyError
from werkzeug.exceptions import HTTPException

from jobs_app.core import errors
from jobs_app.core.text import counted
from jobs_app.db.errors import describe_outage, error_name, is_outage
from jobs_app.web.session import database

log = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"

#: The status of each error; a class that is not listed has the status of its base.
STATUSES: dict[type[errors.JobsError], int] = {
    errors.BadRequest: 400,
    errors.Unauthenticated: 401,
    errors.Forbidden: 403,
    errors.NotFound: 404,
    errors.Conflict: 409,
    errors.StaleVersion: 412,
    errors.InvalidInput: 422,
    errors.IdempotencyMismatch: 422,
    errors.VersionRequired: 428,
    errors.Unavailable: 503,
    errors.BrokerUnavailable: 503,
    errors.ConfigurationError: 503,
}

#: Codes and sentences of the errors that Flask itself raises.
HTTP_CODES = {
    400: ("bad_request", "The request cannot be read."),
    404: ("no_such_route", "There is nothing at this address."),
    405: ("method_not_allowed", "This address does not take that method."),
    408: ("request_timeout", "The request took too long to arrive."),
    411: ("length_required", "The request must say how long its body is."),
    413: ("body_too_large", "The request body is larger than this server takes."),
    414: ("uri_too_long", "The address is too long."),
    415: ("unsupported_media_type", "The body must be JSON, sent as application/json."),
    416: ("range_not_satisfiable", "There is no such range."),
    431: ("headers_too_large", "The request headers are too large."),
}

RETRY_AFTER_SECONDS = "2"


class UnsupportedMediaType(errors.BadRequest):
    """The body is not sent as JSON."""

    code = "unsupported_media_type"
    title = "The body must be JSON"


STATUSES[UnsupportedMediaType] = 415


def problem(
    status: int,
    *,
    code: str,
    title: str,
    detail: str,
    fields: Iterable[Mapping[str, Any]] = (),
) -> Response:
    """Return a problem as a response."""
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": title,
        "status": status,
        "detail": detail,
        "code": code,
    }
    if errors_by_field := [dict(field) for field in fields]:
        body["errors"] = errors_by_field
    response = Response(json.dumps(body), status=status, mimetype=MEDIA_TYPE)
    if status == 401:
        response.headers["WWW-Authenticate"] = 'Bearer realm="jobs-app"'
    if status == 503:
        response.headers["Retry-After"] = RETRY_AFTER_SECONDS
    return response


def register(app: Flask) -> None:
    """Answer every error in *app* with a problem."""
    app.register_error_handler(errors.JobsError, on_jobs_error)
    app.register_error_handler(HTTPException, _on_http_error)
    app.register_error_handler(SQLAlchemyError, _on_database_error)
    app.register_error_handler(Exception, _on_bug)


def on_jobs_error(error: errors.JobsError) -> Response:
    """Answer with the problem that *error* describes."""
    status = next((STATUSES[base] for base in type(error).__mro__ if base in STATUSES), 500)
    fields = [{"pointer": e.pointer, "code": e.code, "detail": e.detail} for e in error.errors]
    return problem(status, code=error.code, title=error.title, detail=error.detail, fields=fields)


def _on_http_error(error: HTTPException) -> Response:
    # flask-openapi3 raises `abort(response)` with a finished answer.
    if error.response is not None and isinstance(error.response, Response):
        return error.response
    status = error.code or 500
    code, detail = HTTP_CODES.get(status, ("http_error", error.name + "."))
    if status == 413:
        most = current_app.config["MAX_CONTENT_LENGTH"]
        size = counted(most, "byte")
        detail = f"The request body is larger than the {size} that this server takes."
    response = problem(status, code=code, title=error.name, detail=detail)
    for name, value in error.get_headers():
        # A 405 must name the allowed methods, a 401 how to sign in.
        if name.lower() in {"allow", "www-authenticate", "retry-after"}:
            response.headers[name] = value
    return response


def _on_database_error(error: SQLAlchemyError) -> Response:
    """Answer 503 if the database is unreachable; any other error of it is our bug."""
    database.session.remove()
    if is_outage(error):
        log.error("database_unavailable error=%s", error_name(error))
        outage = describe_outage(error)
        detail = f"{outage.cause}; nothing was changed. {outage.remedy}"
        return problem(503, code="database_unavailable", title=outage.title, detail=detail)
    return _on_bug(error)


def _on_bug(error: Exception) -> Response:
    log.error("request_failed", exc_info=error)
    return problem(
        500,
        code="internal",
        title="Something went wrong here",
        detail="The server failed to answer; its log says why.",
    )
