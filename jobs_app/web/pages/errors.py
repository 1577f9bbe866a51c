"""Errors as pages: what is wrong, and what helps."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from flask import Flask, Response, g, request, url_for
from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError

from jobs_app.core.roles import AccountKind, Role
from jobs_app.core.text import shortened
from jobs_app.db.models.accounts import AuditEvent, Person
from jobs_app.db.models.jobs import Job
from jobs_app.web.api.problems import MEDIA_TYPE
from jobs_app.web.pages import frame
from jobs_app.web.pages.parameters import PLACES, known
from jobs_app.web.permissions import is_for_browser
from jobs_app.web.session import READING_METHODS, reading

#: An error that is over by itself soon: the page tries again after so many seconds.
RETRY_SECONDS = 5

#: Most admins that a page names to somebody who may not do what it is for.
MOST_ADMINS = 3


@dataclass(frozen=True, slots=True)
class Deletion:
    """When a job was deleted, and by whom; None if the audit does not say."""

    name: str
    at: datetime
    by: str | None


def register(app: Flask) -> None:
    """Answer errors of pages in *app* with a page in place of a problem as JSON."""
    app.after_request(_as_page)


def _as_page(response: Response) -> Response:
    if response.mimetype != MEDIA_TYPE or frame.is_poll() or not is_for_browser():
        return response
    problem = response.get_json()
    page = frame.render(
        "error.html",
        status=response.status_code,
        problem=problem,
        request_id=g.get("request_id"),
        wanted=shortened(request.path, 100),
        retry_seconds=RETRY_SECONDS if response.status_code == 503 else None,
        restart=_restart(problem),
        **_help(problem),
    )
    for name in ("Retry-After", "Allow"):
        if name in response.headers:
            page.headers[name] = response.headers[name]
    if response.status_code == 503:
        # Without script, too.
        page.headers["Refresh"] = str(RETRY_SECONDS)
    return page


def _restart(problem: Mapping[str, Any]) -> tuple[str, str] | None:
    """Return a link to the page without what its address asks for wrongly: words and address."""
    if problem["status"] not in {400, 422} or not request.args or request.endpoint is None:
        return None
    if request.method not in READING_METHODS:
        return None
    kept: dict[str, Any] = {}
    if problem["code"] == "bad_cursor":
        kept = {name: values for name, values in known().items() if name not in PLACES}
    words = "The first page" if problem["code"] == "bad_cursor" else "The page without that"
    return words, url_for(request.endpoint, **{**kept, **(request.view_args or {})})


def _help(problem: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the database knows that helps with *problem*."""
    name = (request.view_args or {}).get("name")
    # The error itself is shown also if the database does not answer.
    with suppress(SQLAlchemyError):
        if problem["code"] == "job_not_found" and name is not None:
            return {"deletion": _deletion(name)}
        if problem["code"] == "forbidden":
            return {"admins": _admins()}
    return {}


def _deletion(name: str) -> Deletion | None:
    """Return how the newest job called *name* was deleted; None if the caller sees no such job."""
    jobs = select(Job.id, Job.deleted_at).where(Job.name == name, Job.deleted_at.is_not(None))
    with reading() as reader:
        job = reader.execute(jobs.order_by(Job.id.desc()).limit(1)).first()
        if job is None:
            return None
        is_deletion = (AuditEvent.job_id == job.id, AuditEvent.action == "delete")
        by = select(AuditEvent.actor).where(*is_deletion).order_by(AuditEvent.id.desc()).limit(1)
        return Deletion(name, job.deleted_at, reader.scalar(by))


def _admins() -> list[str]:
    """Return the admins who were here last; none for a caller who may not know of all jobs."""
    caller = frame.current_principal()
    if caller is None or caller.tags is not None or caller.role is Role.ADMIN:
        return []
    is_enabled = (Person.disabled_at.is_(None), Person.removed_at.is_(None))
    admins = select(Person.name).where(Person.kind == AccountKind.PERSON, *is_enabled)
    newest_first = (Person.last_seen_at.desc().nulls_last(), Person.name)
    with reading() as reader:
        of_role = admins.where(Person.role == Role.ADMIN)
        return list(reader.scalars(of_role.order_by(*newest_first).limit(MOST_ADMINS)))
