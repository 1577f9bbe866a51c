"""The database of the web process: Flask-SQLAlchemy holds its engine and one session a request."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import sqlalchemy
from flask import Flask, current_app, g, has_request_context, request
from flask_sqlalchemy import SQLAlchemy
from flask_sqlalchemy.session import Session as FlaskSession
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from jobs_app.accounts import audit, tag_limit
from jobs_app.accounts.principal import Principal
from jobs_app.core.settings import Settings
from jobs_app.db.columns import Base
from jobs_app.db.engine import (
    READ_ONLY,
    SQLITE_WEB_CACHE_KIB,
    WAIT_SECONDS,
    engine_options,
    prepare_engine,
)
from jobs_app.db.errors import error_name

log = logging.getLogger(__name__)

READING_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
READER = "jobs_reader"

#: How long a session waits for another writer of SQLite, seconds: one that notes the use of a
#: token, one that adds to the audit what no answer waits for, and one of somebody who is not
#: signed in. Nobody may hold the threads of the server without a right.
USE_SECONDS, NOTE_SECONDS, VISITOR_SECONDS = 0.0, 0.25, 2.0

#: The key of the engines with these waits.
WAITING = "jobs_waiting"


class RequestSession(FlaskSession):
    """A session that reads with the read-only engine in a request that only reads.

    Flask-SQLAlchemy binds every session to the one engine, and on SQLite each
    transaction of that engine takes the write lock.
    """

    def get_bind(self, *args: Any, **kwargs: Any) -> Engine | Connection:
        if has_request_context() and request.method in READING_METHODS:
            return _reader()
        return super().get_bind(*args, **kwargs)

    def close(self) -> None:
        """Close the session; a connection that the server has ended meanwhile is no error.

        The answer is made by then, and what was not committed is gone with the connection.
        """
        try:
            super().close()
        except SQLAlchemyError as error:
            log.warning("session_lost_its_connection error=%s", error_name(error))
            with suppress(SQLAlchemyError):
                self.invalidate()


database = SQLAlchemy(
    model_class=Base,
    disable_autonaming=True,
    session_options={"class_": RequestSession, "expire_on_commit": False},
)


def init_app(app: Flask, settings: Settings) -> None:
    """Give *app* the database of *settings*; no connection is opened before a request."""
    url = settings.effective_database_url
    app.config["SQLALCHEMY_DATABASE_URI"] = sqlalchemy.make_url(url)
    # As many connections as threads: no thread waits for the connection of another.
    pool = {"pool_size": settings.web_threads, "max_overflow": 2}
    app.config["SQLALCHEMY_ENGINE_OPTIONS"] = engine_options(url) | pool
    database.init_app(app)
    with app.app_context():
        prepare_engine(database.engine, sqlite_cache_kib=SQLITE_WEB_CACHE_KIB)
        # Kept: a session takes one more connection for each engine object that it sees.
        app.extensions[READER] = database.engine.execution_options(**{READ_ONLY: True})
        app.extensions[WAITING] = {
            seconds: database.engine.execution_options(**{WAIT_SECONDS: seconds})
            for seconds in (USE_SECONDS, NOTE_SECONDS, VISITOR_SECONDS)
        }


def _reader() -> Engine:
    engine: Engine = current_app.extensions[READER]
    return engine


def session() -> Session:
    """Return the session of this request; Flask-SQLAlchemy removes it after the request."""
    current = _limited(database.session(), _tags())
    if (origin := g.get("audit_origin")) is not None:
        audit.set_origin(current, origin)
    return current


def set_origin(origin: audit.Origin) -> None:
    """Let all events that this request adds to the audit have this origin."""
    g.audit_origin = origin


def reading() -> Session:
    """Return a separate session that only reads; use it as a context manager.

    Like all sessions here, it finds only the jobs that the caller may see.
    """
    return readers()()


@contextmanager
def unlocked() -> Iterator[Session]:
    """Yield a session that reads and locks nothing: that of the request if it only reads."""
    if request.method in READING_METHODS:
        yield session()
        return
    with reading() as reader:
        yield reader


def readers() -> Callable[[], Session]:
    """Return a factory of sessions that only read, for use after the request too."""
    engine, tags = _reader(), _tags()
    return lambda: _limited(Session(engine, expire_on_commit=False), tags)


def writing(*, wait_seconds: float | None = None) -> Session:
    """Return a separate session that may write; use it as a context manager.

    With *wait_seconds*, one of the waits above, it waits no longer for another writer of SQLite.
    """
    engine = database.engine
    if wait_seconds is not None:
        engine = current_app.extensions[WAITING][wait_seconds]
    return _limited(Session(engine, expire_on_commit=False), _tags())


def noting() -> Session:
    """Return a separate session for a note that no request waits for.

    While another process writes for long, requests that only read would wait for it too.
    """
    return writing(wait_seconds=USE_SECONDS)


def _tags() -> frozenset[str] | None:
    """Return the tags that the caller is limited to; None: not limited, or not known yet."""
    principal: Principal | None = g.get("principal")
    return None if principal is None else principal.tags


def _limited(session: Session, tags: frozenset[str] | None) -> Session:
    if tags is not None:
        tag_limit.limit(session, tags)
    return session
