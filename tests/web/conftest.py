"""The web application on a fresh database, and a client that is signed in."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select

from jobs_app.accounts import people, sessions, tokens
from jobs_app.accounts.people import Rights
from jobs_app.accounts.sessions import Browser
from jobs_app.accounts.tokens import Limits
from jobs_app.core import clock
from jobs_app.core.roles import AccountKind, Grant, Role, Scope
from jobs_app.core.settings import Settings
from jobs_app.core.states import FINAL, RunState, Trigger
from jobs_app.db.columns import new_run_id
from jobs_app.db.engine import Database
from jobs_app.db.models.accounts import AuditEvent, Person, Token
from jobs_app.db.models.jobs import Job
from jobs_app.db.models.runs import Run
from jobs_app.web import csrf, outage_line, page_session
from jobs_app.web import session as web_session
from jobs_app.web.app import create_app

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


class Api:
    """A client with a token; paths are below /api/v1 unless they begin with `//`.

    What it returns is werkzeug's TestResponse, typed Any so that a test may look
    into `json` as it comes.
    """

    def __init__(self, app: Flask, token: str) -> None:
        self.app = app
        self.token = token
        self._client = app.test_client()

    def send(self, method: str, path: str, /, **options: Any) -> Any:
        headers = {"Authorization": f"Bearer {self.token}"} | options.pop("headers", {})
        url = path[1:] if path.startswith("//") else f"/api/v1{path}"
        return self._client.open(url, method=method, headers=headers, buffered=True, **options)

    def get(self, path: str, /, **options: Any) -> Any:
        return self.send("GET", path, **options)

    def post(self, path: str, body: Any = None, /, **options: Any) -> Any:
        return self.send("POST", path, json=body, **options)

    def put(self, path: str, body: Any, /, *, if_match: str = "*") -> Any:
        return self.send("PUT", path, json=body, headers={"If-Match": if_match})

    def patch(self, path: str, body: Any, /, *, if_match: str = "*") -> Any:
        return self.send("PATCH", path, json=body, headers={"If-Match": if_match})

    def delete(self, path: str, /, *, if_match: str = "*") -> Any:
        return self.send("DELETE", path, headers={"If-Match": if_match})

    def make_job(self, name: str = "nightly", **facts: Any) -> dict[str, Any]:
        """Create a job and return it as the API does."""
        answer = self.post("/jobs", a_job(name=name, **facts))
        assert answer.status_code == 201, answer.text
        made: dict[str, Any] = answer.json
        return made

    def facts(self) -> list[Any]:
        """Return all that is on record of jobs, runs and the audit: to be compared."""
        with self.app.app_context():
            engine = web_session.database.engine
        with engine.connect() as connection:
            return [
                connection.execute(select(table).order_by(table.c.id)).all()
                for table in (Job.__table__, Run.__table__, AuditEvent.__table__)
            ]


def a_job(**facts: Any) -> dict[str, Any]:
    """Return a valid job to send, with these facts instead."""
    return {
        "name": "nightly",
        "task": "shell",
        "kwargs": {"command": "true"},
        "schedule": {"cron": "30 2 * * *", "timezone": "Europe/Paris"},
    } | facts


@pytest.fixture
def settings(database_url: str, tmp_path: Path) -> Settings:
    """Settings on a migrated database, with no Redis: nothing here may need it."""
    return Settings(data_dir=tmp_path / "data", database_url=database_url)


@pytest.fixture
def token(database: Database) -> str:
    """A token that the database knows; the audit, which tests look at, is still empty."""
    made = tokens.make()
    owner = Person(name="tester", kind=AccountKind.SERVICE, role=Role.ADMIN, created_at=NOW)
    with database.session() as session:
        session.add(owner)
        session.flush()
        digest = tokens.digest(made)
        session.add(Token(name="tester", digest=digest, owner_id=owner.id, created_at=NOW))
        session.commit()
    return made


@pytest.fixture
def app(settings: Settings) -> Iterator[Flask]:
    """The web application."""
    made = create_app(settings)
    yield made
    close(made)


def close(app: Flask) -> None:
    """Close the connections of *app*, once its thread for the line about outages holds none."""
    line: outage_line.OutageLine = app.extensions[outage_line.NAME]
    line._thread.submit(lambda: None).result()
    with app.app_context():
        web_session.database.engine.dispose()


@pytest.fixture
def api(app: Flask, token: str) -> Api:
    """A client that is signed in."""
    return Api(app, token)


def a_run(state: RunState = RunState.SUCCEEDED, **facts: Any) -> Run:
    """Return a run to be stored, in this state."""
    return Run(
        **{
            "id": new_run_id(),
            "state": state,
            "trigger": Trigger.MANUAL,
            "task": "sleep",
            "kwargs": {"duration": 1},
            "queue": "default",
            "created_at": NOW,
            "finished_at": NOW if state in FINAL else None,
        }
        | facts
    )


@pytest.fixture
def store(database: Database) -> Callable[..., None]:
    """Store rows, in order."""

    def add(*rows: Any) -> None:
        with database.session() as session:
            for row in rows:
                session.add(row)
                session.flush()
            session.commit()

    return add


@pytest.fixture
def api_of(app: Flask, database: Database) -> Callable[..., Api]:
    """Return a client for a new account with these rights, and a token with these limits."""

    def make(
        role: str,
        *,
        grants: tuple[str, ...] = (),
        scopes: tuple[str, ...] | None = None,
        tags: tuple[str, ...] | None = None,
        name: str = "",
    ) -> Api:
        name = name or "-".join((role, *grants, *(scopes or ()), *(tags or ())))
        name = "root" if name == "admin" else name
        rights = Rights(Role(role), tuple(map(Grant, grants)), None if role == "admin" else tags)
        limits = Limits(None if scopes is None else [*map(Scope, scopes)], tags)
        with database.session() as session:
            kind = AccountKind.SERVICE
            owner = people.create(session, name, kind, rights, by="root", at=NOW)
            token = tokens.create(session, name, owner=owner, limits=limits, by="root", at=NOW)
        return Api(app, token)

    return make


#: What a browser says of a request that a page of ours makes it send.
OURS = {"Accept": "text/html", "Sec-Fetch-Site": "same-origin"}


class Page:
    """A browser that is signed in, and sends the forms of our pages.

    `page("/jobs")` and `page.get("/jobs")` get a page, with headers as keywords. What they return
    is werkzeug's TestResponse, typed Any so that a test may look into it.
    """

    def __init__(self, app: Flask, secret: str) -> None:
        self.app = app
        self.client = app.test_client()
        self.secret = secret
        cookie = app.extensions[page_session.NAME]
        self.client.set_cookie(cookie.name, secret)

    def __call__(self, path: str, /, **headers: str) -> Any:
        return self.get(path, **headers)

    def get(self, path: str, /, **headers: str) -> Any:
        """Get a page."""
        return self.client.get(path, headers={"Accept": "text/html", **headers}, buffered=True)

    def post(self, path: str, data: Any = None, /, **headers: str) -> Any:
        """Send a form, with the token that our pages have in it."""
        token = {csrf.HEADER: csrf.masked_token(self.secret)}
        sent = {**OURS, **token, **headers}
        return self.client.post(path, data=data or {}, headers=sent, buffered=True)


@pytest.fixture
def page_of(app: Flask, database: Database) -> Callable[..., Page]:
    """Return a browser in which a new person with these rights is signed in."""

    def make(
        role: str,
        grants: tuple[str, ...] = (),
        tags: tuple[str, ...] | None = None,
        *,
        name: str = "",
    ) -> Page:
        name = name or "-".join(("p", role, *grants, *(tags or ())))
        rights = Rights(Role(role), tuple(map(Grant, grants)), tags)
        at = clock.now()
        with database.session() as session:
            person = people.create(session, name, AccountKind.PERSON, rights, by="root", at=at)
            secret = sessions.start(session, person, Browser("127.0.0.1", "Firefox"), at=at)
            session.commit()
        return Page(app, secret)

    return make
