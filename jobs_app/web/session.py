"""The sessions of requests: those that only read hold up no writer."""

from collections.abc import Callable
from functools import partial
from typing import Any

import sqlalchemy
from flask import Flask, has_request_context, request
from flask_sqlalchemy import SQLAlchemy
from flask_sqlalchemy.session import Session as BoundSession
from sqlalchemy import Connection, Engine
from sqlalchemy.orm import DeclarativeBase, Session

from jobs_app.core.settings import Settings
from jobs_app.db.engine import READ_ONLY, engine_options, prepare_engine

READING_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


class _RequestSession(BoundSession):
    """A session whose transactions are read-only in a request that reads."""

    def get_bind(self, *args: Any, **kwargs: Any) -> Engine | Connection:
        bind = super().get_bind(*args, **kwargs)
        if not has_request_context() or request.method not in READING_METHODS:
            return bind
        # Kept: with an engine that is new each time, each statement takes a connection of its own.
        reader = self.info.get("reader")
        if reader is None:
            reader = self.info["reader"] = bind.execution_options(**{READ_ONLY: True})
        found: Engine | Connection = reader
        return found


class _Holder(SQLAlchemy):
    """Holds the engine and each request's session, by the recipe of `jobs_app.db.engine`."""

    def _make_engine(self, bind_key: str | None, options: dict[str, Any], app: Flask) -> Engine:
        engine = super()._make_engine(bind_key, options, app)
        prepare_engine(engine)
        return engine


class _NoModels(DeclarativeBase):
    """What Flask-SQLAlchemy makes its own base of; our models hang on `db.columns.Base`."""


database = _Holder(
    model_class=_NoModels,
    disable_autonaming=True,
    session_options={"class_": _RequestSession, "expire_on_commit": False},
)


def init_app(app: Flask, settings: Settings) -> None:
    """Give *app* the database of *settings*; nothing is opened before the first request."""
    url = settings.effective_database_url
    app.config["SQLALCHEMY_DATABASE_URI"] = sqlalchemy.make_url(url)
    # As many connections as threads: none of them ever waits for another one's.
    # Parameters hold what people wrote, kwargs too: never in a log.
    pool = {"pool_size": settings.web_threads, "max_overflow": 2}
    app.config["SQLALCHEMY_ENGINE_OPTIONS"] = engine_options(url) | pool
    database.init_app(app)


def session() -> Session:
    """Return the session of this request; it is closed when the request is over."""
    return database.session()


def reading() -> Session:
    """Return a session of its own that only reads; use it as a context manager."""
    return readers()()


def readers() -> Callable[[], Session]:
    """Return what makes sessions that only read, after the request is over too."""
    engine = database.engine.execution_options(**{READ_ONLY: True})
    return partial(Session, engine, expire_on_commit=False)


def writing() -> Session:
    """Return a session of its own that may write; use it as a context manager."""
    return Session(database.engine, expire_on_commit=False)
