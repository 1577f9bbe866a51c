"""/healthz and /readyz: whether the process lives, and whether it can work."""

from datetime import datetime, timedelta
from typing import Any

from flask import Response, jsonify
from flask_openapi3 import Tag
from pydantic import BaseModel
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from jobs_app.accounts.permissions import Action, allows
from jobs_app.core import clock
from jobs_app.core.text import rfc3339
from jobs_app.db import revisions
from jobs_app.db.engine import is_refused
from jobs_app.jobs.redbeat_entries import shared_prefix
from jobs_app.runs.status import last_tick, unserved, worker_problems
from jobs_app.web import extension
from jobs_app.web.api.late_blueprint import LateBlueprint
from jobs_app.web.auth import caller_of_open_route
from jobs_app.web.session import session

api = LateBlueprint("health", __name__, abp_tags=[Tag(name="health", description="For probes.")])

#: Without a tick for this long, fires come late. A scheduler ticks every few seconds.
STALE = timedelta(seconds=60)

REFUSES_WRITES = (
    "Nothing can be stored: its disk may be full, the database read-only, or its user without "
    "the right."
)
REFUSES_USER = "The user of JOBS_DATABASE_URL has no right to read the tables."


class Alive(BaseModel):
    """The process answers."""

    status: str


class Readiness(BaseModel):
    """The state of each part.

    `ready`: everything works. `degraded`: requests are served, but something is missing:
    Redis, a prefix of its own in Redis, the scheduler, a module of JOBS_IMPORTS, or a worker
    for a queue that a job names; a worker has a problem; or a newer version has migrated the
    database, or it takes no writes, as on a full disk (tried every 15 seconds).
    `unavailable`: the database cannot be used. `warnings` of Redis change no status: it works,
    but others may read or lose what it holds.

    Without a token that may read, and for one that is limited to tags, a check has its `status`
    only: what it names (queues, workers, modules, versions) is for readers.
    """

    status: str
    checks: dict[str, Any]


@api.get("/healthz", responses={200: Alive})
def healthz() -> Response:
    """Tell that the process lives, without a call to the database or Redis."""
    return jsonify({"status": "alive"})


@api.get("/readyz", responses={200: Readiness, 503: Readiness})
def readyz() -> Response:
    """Tell whether requests can be served: 503 only if the database cannot be used.

    Without Redis, jobs are still stored and fires still recorded: that is `degraded`,
    with 200. A token is not needed; one that may read gets also what each check names.
    """
    now = clock.now()
    database, is_usable = _database()
    scheduler, is_ticking = _scheduler(now) if is_usable else ({"status": "unknown"}, False)
    queues, are_served = _queues() if is_usable else ({"status": "unknown"}, False)
    workers, are_well = _workers() if is_usable else ({"status": "unknown"}, False)
    if is_usable:
        extension.current().load_installation_id()
    redis = extension.current().redis_status()
    broken = extension.current().broken_imports
    checks: dict[str, Any] = {
        "database": database,
        "redis": {"status": redis},
        "scheduler": scheduler,
        "queues": queues,
        "workers": workers,
        "imports": {"status": "failed", "modules": broken} if broken else {"status": "ok"},
    }
    if redis == "shared":
        checks["redis"]["detail"] = shared_prefix(extension.current().settings.redis_prefix)
    if warnings := extension.current().redis_warnings:
        checks["redis"]["warnings"] = warnings
    status = "unavailable"
    if is_usable:
        are_ok = database["status"] == redis == "ok"
        is_well = are_ok and is_ticking and are_served and are_well and not broken
        status = "ready" if is_well else "degraded"
    if not (is_usable and _is_reader()):
        checks = {name: {"status": check["status"]} for name, check in checks.items()}
    response = jsonify({"status": status, "checks": checks})
    response.status_code = 200 if is_usable else 503
    return response


def _is_reader() -> bool:
    """Tell whether the caller may know what the checks name; only a database that answers knows."""
    caller = caller_of_open_route()
    return caller is not None and caller.tags is None and allows(caller, Action.READ)


def _database() -> tuple[dict[str, Any], bool]:
    try:
        revision = revisions.current_revision(session())
    except SQLAlchemyError as error:
        session().rollback()
        if isinstance(error, DBAPIError) and is_refused(error):
            return {"status": "refused", "detail": REFUSES_USER}, False
        return {"status": "unreachable"}, False
    newest = revisions.newest_revision()
    if revisions.is_newer(revision):
        # Migrations only add, so an older version can go on until it is replaced.
        return {"status": "newer", "revision": revision, "wanted": newest}, True
    if revision != newest:
        return {"status": "not migrated", "revision": revision, "wanted": newest}, False
    # Nothing may be held while another connection writes.
    session().rollback()
    if not extension.current().write_check.takes_writes():
        return {"status": "refuses writes", "revision": revision, "detail": REFUSES_WRITES}, True
    return {"status": "ok", "revision": revision}, True


def _queues() -> tuple[dict[str, Any], bool]:
    unserved_queues = unserved(session())
    session().rollback()
    if unserved_queues:
        return {"status": "no worker", "unserved": unserved_queues}, False
    return {"status": "ok"}, True


def _workers() -> tuple[dict[str, Any], bool]:
    problems = worker_problems(session())
    session().rollback()
    if problems:
        return {"status": "problem", "problems": problems}, False
    return {"status": "ok"}, True


def _scheduler(now: datetime) -> tuple[dict[str, Any], bool]:
    ticked_at = last_tick(session())
    # Redis is called next, and nothing may be held while it is called.
    session().rollback()
    if ticked_at is None:
        return {"status": "never started"}, False
    age = now - ticked_at
    tick = {"last_tick_at": rfc3339(ticked_at), "age_seconds": round(age.total_seconds(), 3)}
    return {"status": "ok" if age < STALE else "stale"} | tick, age < STALE
