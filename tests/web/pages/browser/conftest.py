"""Real pages in a real browser: Debian's Chromium, and the web application in a thread."""

import os
import shutil
import socket
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import pytest
from flask import Flask
from playwright.sync_api import Browser, BrowserContext, Page, Request, expect, sync_playwright
from sqlalchemy.orm import Session

from jobs_app.accounts import people, sessions, tokens
from jobs_app.accounts.people import Rights
from jobs_app.core.roles import AccountKind, Role
from jobs_app.core.settings import Settings
from jobs_app.db.engine import Database
from jobs_app.web import page_session
from jobs_app.web.app import create_app
from jobs_app.web.server import Server, make_server
from tests.web.conftest import close

CHROMIUM = os.environ.get("JOBS_TEST_CHROMIUM", "chromium")

AXE = Path(__file__).parent / "vendor" / "axe-core" / "axe.min.js"

#: Root may not use Chromium's sandbox, and the pages shown here are our own.
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]

#: How long a page may take for one thing, milliseconds: the machine may be crowded.
PATIENT_MILLISECONDS = 30_000

#: A violation of the content policy becomes a message that the test finds.
TELL_VIOLATIONS = """
document.addEventListener("securitypolicyviolation", event =>
    console.error(`content policy: ${event.violatedDirective} ${event.blockedURI}`));
"""

Scheme = Literal["light", "dark"]


@dataclass(frozen=True)
class Site:
    """A running web application, its database, and the token and the session of an admin."""

    url: str
    app: Flask
    database: Database
    token: str
    secret: str

    def store(self, *rows: Any) -> None:
        """Store *rows*, in order."""
        with self.database.session() as session:
            for row in rows:
                session.add(row)
                session.flush()
            session.commit()


@dataclass
class Faults:
    """What went wrong in the pages of a test; texts in *expected* are parts of what may."""

    own_host: str
    expected: list[str] = field(default_factory=list)
    found: list[str] = field(default_factory=list)

    def watch(self, context: BrowserContext) -> None:
        """Note messages, errors, violations and foreign requests of all pages of *context*."""
        context.add_init_script(TELL_VIOLATIONS)
        context.on("console", lambda message: self.found.append(f"console: {message.text}"))
        context.on("weberror", lambda error: self.found.append(f"error: {error.error}"))
        context.on("dialog", self._dismiss)
        context.on("request", self._note_request)

    def _dismiss(self, dialog: Any) -> None:
        self.found.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def _note_request(self, request: Request) -> None:
        address = urlsplit(request.url)
        if address.scheme not in {"data", "blob"} and address.netloc != self.own_host:
            self.found.append(f"request to another host: {request.url}")

    def unexpected(self) -> list[str]:
        """Return what was found and not expected."""
        return [text for text in self.found if not any(part in text for part in self.expected)]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One browser for all tests of a module.

    It ends with them: while Playwright runs, its event loop is that of this process.
    """
    program = shutil.which(CHROMIUM)
    if program is None:
        pytest.fail(
            f"The tests of the pages need Chromium, and there is no program {CHROMIUM!r}: install "
            "it (Debian: apt-get install chromium), or name one in JOBS_TEST_CHROMIUM.",
            pytrace=False,
        )
    expect.set_options(timeout=PATIENT_MILLISECONDS)
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=program, args=ARGUMENTS)
        yield started
        started.close()


@pytest.fixture(scope="module")
def site(migrated_sqlite: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The web application on a database of this module's own, in a thread of this process."""
    folder = tmp_path_factory.mktemp("site")
    shutil.copyfile(migrated_sqlite, folder / "jobs.db")
    settings = Settings(data_dir=folder, database_url=f"sqlite:///{folder / 'jobs.db'}")
    database = Database(settings.effective_database_url)
    with database.session() as session:
        token = tokens.create(session, "tester", at=datetime.now(UTC))
        secret = _start_session(session)
        session.commit()
    app = create_app(settings)
    with serving(app, settings) as url:
        yield Site(url, app, database, token, secret)
    database.close()


def _start_session(session: Session) -> str:
    at, rights = datetime.now(UTC), Rights(Role.ADMIN)
    person = people.create(session, "ann", AccountKind.PERSON, rights, by="root", at=at)
    return sessions.start(session, person, sessions.Browser("127.0.0.1"), at=at)


@contextmanager
def serving(app: Flask, settings: Settings) -> Iterator[str]:
    """Serve *app* on a free port, and yield its address."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        with warnings.catch_warnings():
            # Waitress means to drop `send_bytes` some day.
            warnings.simplefilter("ignore", DeprecationWarning)
            server = make_server(app, listener, settings)
        thread = threading.Thread(target=_run, args=(server,), daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        server.stop()
        thread.join()
        for channel in list(server.active_channels.values()):
            channel.handle_close()
        server.close()
        close(app)


def _run(server: Server) -> None:
    # It ends itself as a process ends.
    with suppress(SystemExit):
        server.run()


@pytest.fixture
def faults(site: Site) -> Iterator[Faults]:
    """What goes wrong in the pages of this test, which fails if there is any."""
    faults = Faults(urlsplit(site.url).netloc)
    yield faults
    assert faults.unexpected() == []


@pytest.fixture
def open_page(browser: Browser, site: Site, faults: Faults) -> Iterator[Callable[..., Page]]:
    """Open a page in a context of its own: `open_page(width=360, scheme="dark")`.

    With `signed_in=False` nobody is signed in; with `script=False` no script runs.
    """
    contexts = []

    def open_one(
        *,
        width: int = 1280,
        height: int = 900,
        scheme: Scheme = "light",
        script: bool = True,
        signed_in: bool = True,
        **options: Any,
    ) -> Page:
        context = browser.new_context(
            base_url=site.url,
            viewport={"width": width, "height": height},
            color_scheme=scheme,
            java_script_enabled=script,
            **options,
        )
        contexts.append(context)
        context.set_default_timeout(PATIENT_MILLISECONDS)
        faults.watch(context)
        if signed_in:
            sign_in(context, site)
        return context.new_page()

    yield open_one
    for context in contexts:
        context.close()


@pytest.fixture
def browser_page(open_page: Callable[..., Page]) -> Page:
    """A page 1280 pixels wide, in light colours, signed in as an admin."""
    return open_page()


def sign_in(context: BrowserContext, site: Site) -> None:
    """Let all pages of *context* be those of an admin."""
    cookie = site.app.extensions[page_session.NAME]
    context.add_cookies([{"name": cookie.name, "value": site.secret, "url": site.url}])


def axe_findings(page: Page) -> list[str]:
    """Return what axe finds on *page*: the rule, and the first elements."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(AXE.read_text())
    found = page.evaluate("axe.run({resultTypes: ['violations']})")
    return [
        f"{violation['id']}: {[node['html'][:120] for node in violation['nodes'][:3]]}"
        for violation in found["violations"]
    ]
