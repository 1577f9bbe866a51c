"""A day's work in a browser by keyboard alone, with a real worker."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from jobs_app.accounts import passwords, people
from jobs_app.accounts.people import Rights
from jobs_app.core.roles import AccountKind, Role
from jobs_app.core.settings import Settings
from jobs_app.db.models.accounts import Person
from jobs_app.db.models.jobs import Job
from jobs_app.web.app import create_app
from tests.integration.system import System
from tests.profiles import postgresql_nightly
from tests.servers import ValkeyServer
from tests.web.pages.browser.conftest import Site, serving

PASSWORD = "correct horse battery"

#: Most presses of Tab to a control of a page.
MOST_TABS = 120


@pytest.fixture
def system(database_url: str, tmp_path: Path) -> Iterator[System]:
    """A worker and what it needs."""
    valkey = ValkeyServer()
    valkey.start()
    folder = tmp_path / "data"
    system = System(
        Settings(data_dir=folder, database_url=database_url, redis_url=valkey.url), tmp_path
    )
    system.start("worker")
    yield system
    system.stop()
    valkey.close()


@pytest.fixture
def site(system: System) -> Iterator[Site]:
    """The web application of that installation."""
    app = create_app(system.settings)
    with serving(app, system.settings) as url:
        yield Site(url, app, system.database, "", "")


def make_person(site: Site) -> None:
    """Make an admin called Ana, who has a password."""
    at = datetime.now(UTC)
    with site.database.session() as session:
        rights = Rights(Role.ADMIN)
        people.create(session, "Ana", AccountKind.PERSON, rights, by="root", at=at)
        session.query(Person).filter(Person.name == "Ana").update(
            {"password_hash": passwords.hashed(PASSWORD)}
        )
        session.commit()


def tab_to(page: Page, control: Locator) -> None:
    """Press Tab until *control* has the focus, which must be seen."""
    for _ in range(MOST_TABS):
        if control.evaluate("element => element === document.activeElement"):
            break
        page.keyboard.press("Tab")
    else:
        raise AssertionError(f"{control} cannot be reached with Tab")
    assert control.evaluate("element => getComputedStyle(element).outlineStyle") != "none"


@postgresql_nightly
def test_a_day_with_the_keyboard_alone(site: Site, system: System, open_page: Any) -> None:
    make_person(site)
    page: Page = open_page(signed_in=False)
    keys = page.keyboard
    sign_in(page)

    press(page, "n")
    expect(page).to_have_url(f"{site.url}/new-job")
    tab_to(page, page.locator('[name="/name"]'))
    keys.type("night-work")
    tab_to(page, page.locator('[name="/kwargs/command"]'))
    keys.type("echo begun; sleep 30; echo never")
    tab_to(page, page.locator('[name="/schedule/cron"]'))
    keys.type("30 2 * * *")
    expect(page.get_by_text("At 02:30 every day")).to_be_visible()
    press(page, "Control+s")
    expect(page.get_by_role("heading", level=1)).to_have_text("night-work")

    system.wait_until_ready("worker")
    press(page, "r")
    expect(page.get_by_role("button", name="Run now")).to_be_focused()
    keys.press("Enter")
    expect(page.locator("#live")).to_contain_text("running")
    expect(page.locator("main")).to_contain_text("begun")
    press(page, "x")
    tab_to(page, page.get_by_role("button", name="Cancel the run"))
    keys.press("Enter")
    expect(page.locator("#live")).to_contain_text("cancelled")
    expect(page.get_by_role("link", name="Retry")).to_be_visible()
    press(page, "Shift+R")
    tab_to(page, page.get_by_role("button", name="Retry"))
    keys.press("Enter")
    expect(page.locator("#live")).to_contain_text("running")

    page.goto("/jobs/night-work")
    press(page, "p")
    expect(page.get_by_label("Why")).to_be_focused()
    keys.type("moving the database")
    keys.press("Enter")
    expect(page.locator("main")).to_contain_text("“moving the database”")
    tab_to(page, page.get_by_label("Why did it run"))
    keys.type("yesterday 02:30")
    keys.press("Enter")
    expect(page.locator(".lead")).to_be_visible()


def press(page: Page, key: str) -> None:
    """Press *key* on a page that is loaded: its script listens from then on."""
    page.wait_for_load_state()
    page.keyboard.press(key)


def sign_in(page: Page) -> None:
    """Sign in as Ana with the keyboard."""
    page.goto("/")
    tab_to(page, page.get_by_label("Name"))
    page.keyboard.type("Ana")
    tab_to(page, page.get_by_label("Password"))
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")
    expect(page.get_by_text("Ana", exact=True)).to_be_visible()


@pytest.mark.nightly
@postgresql_nightly
def test_no_key_starts_or_ends_anything(site: Site, system: System, open_page: Any) -> None:
    make_person(site)
    page: Page = open_page(signed_in=False)
    sign_in(page)
    job = system.create(name="nightly", schedule=None)
    page.goto("/jobs/nightly")
    leads = set(page.eval_on_selector_all("a[data-key]", "all => all.map(one => one.dataset.key)"))
    for key in "abcdefghijklmnopqrstuvwxyz":
        page.goto("/jobs/nightly")
        if key in leads:
            with page.expect_navigation(url=lambda url: not url.endswith("/jobs/nightly")):
                page.keyboard.press(key)
        else:
            page.keyboard.press(key)

    assert {"n", "p", "r"} <= leads
    with site.database.reading() as session:
        after = session.get_one(Job, job.id)
        assert (after.state, after.version, after.runs_started) == ("active", job.version, 0)
