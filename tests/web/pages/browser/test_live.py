"""Pages stay current without pulling anything from under the reader."""

import itertools
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from playwright.sync_api import CDPSession, Page, expect
from sqlalchemy import text

from jobs_app.core.states import RunState, Trigger
from jobs_app.db.columns import new_run_id
from jobs_app.db.models.jobs import Job
from jobs_app.db.models.runs import Run
from jobs_app.web import outage_line
from tests.servers import crowding
from tests.web.pages.browser.conftest import Faults, Site

#: How soon a change is on an open page that somebody looks at, milliseconds.
SOON_MILLISECONDS = 4_000

#: Polls that change the page; a day of them is 5,000.
POLLS = 200

NOW = datetime.now(UTC)


def soon() -> float:
    """Return how long to wait for a change, milliseconds: longer on a crowded machine."""
    return SOON_MILLISECONDS * crowding()


@pytest.fixture(scope="module")
def full_site(site: Site) -> Site:
    """A site with 40 jobs."""
    site.store(
        *(
            Job(
                name=f"job-{number:02}",
                task="sleep",
                kwargs={"duration": 1},
                created_at=NOW,
                updated_at=NOW,
            )
            for number in range(40)
        )
    )
    return site


def a_run(site: Site, name: str, state: RunState = RunState.RUNNING) -> Run:
    """Return a new run of the job called *name*."""
    with site.database.reading() as session:
        job_id = session.query(Job.id).filter(Job.name == name).scalar()
    return Run(
        id=new_run_id(),
        job_id=job_id,
        state=state,
        trigger=Trigger.MANUAL,
        task="sleep",
        kwargs={},
        queue="default",
        created_at=datetime.now(UTC),
        started_at=datetime.now(UTC),
        is_exclusive=False,
    )


def test_a_change_leaves_focus_typing_and_scroll_as_they_are(
    open_page: Callable[..., Page], full_site: Site
) -> None:
    page = open_page(height=500)
    page.goto("/jobs?sort=name")
    page.get_by_label("Search 40 jobs").press_sequentially("half typ")
    page.get_by_label("State").select_option("paused")
    page.get_by_label("Search 40 jobs").focus()
    page.evaluate("scrollTo(0, 400)")
    page.mouse.move(5, 5)

    full_site.store(a_run(full_site, "job-20"))
    row = page.get_by_role("row", name="job-20")
    expect(row).to_contain_text("running", timeout=soon())

    assert page.evaluate("scrollY") == 400
    assert page.evaluate("document.activeElement.id") == "q"
    expect(page.get_by_label("Search 40 jobs")).to_have_value("half typ")
    expect(page.get_by_label("State")).to_have_value("paused")


def test_a_selection_holds_the_page_still(open_page: Callable[..., Page], full_site: Site) -> None:
    page = open_page()
    page.goto("/jobs/job-01")
    page.evaluate("getSelection().selectAllChildren(document.querySelector('#live h2'))")
    full_site.store(a_run(full_site, "job-01"))
    page.wait_for_timeout(SOON_MILLISECONDS)
    expect(page.locator("#live")).to_contain_text("It has not run.")
    page.evaluate("getSelection().removeAllRanges()")
    expect(page.locator("#live")).to_contain_text("running", timeout=soon())


def test_a_server_that_is_gone_is_said_and_heals(
    open_page: Callable[..., Page], full_site: Site, faults: Faults
) -> None:
    page = open_page()
    page.goto("/jobs?sort=name")
    faults.expected += ["ERR_CONNECTION_REFUSED", "ERR_FAILED", "status of 503", "Failed to fetch"]
    page.context.set_offline(True)
    faults.expected.append("ERR_INTERNET_DISCONNECTED")
    page.mouse.move(5, 5)
    expect(page.locator("#notice")).to_contain_text("No answer since", timeout=15_000)
    page.context.set_offline(False)
    expect(page.locator("#notice")).to_be_empty(timeout=15_000)


def test_what_is_down_appears_on_an_open_page(
    open_page: Callable[..., Page], full_site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outage_line, "FRESH_SECONDS", 0)
    page = open_page()
    page.goto("/jobs")
    revision = set_revision(full_site, "9999")
    try:
        expect(page.locator("#outage")).to_contain_text("upgrade this one", timeout=15_000)
    finally:
        set_revision(full_site, revision)
    expect(page.locator("#outage")).not_to_contain_text("upgrade", timeout=15_000)


def set_revision(site: Site, revision: str) -> str:
    """Let the database have this revision; return the one before."""
    with site.database.session() as session:
        before: str = session.execute(text("SELECT version_num FROM alembic_version")).scalar_one()
        change = text("UPDATE alembic_version SET version_num = :revision")
        session.execute(change, {"revision": revision})
        session.commit()
    return before


def test_a_page_that_is_signed_out_says_so(
    open_page: Callable[..., Page], full_site: Site, faults: Faults
) -> None:
    page = open_page()
    page.goto("/jobs?sort=name")
    faults.expected.append("status of 401")
    page.context.clear_cookies()
    expect(page.locator("#notice")).to_contain_text("You are signed out.", timeout=soon())
    expect(page.locator("#live")).to_contain_text("job-01")


@pytest.mark.nightly
def test_many_polls_do_not_fill_the_memory(open_page: Callable[..., Page], full_site: Site) -> None:
    page = open_page()
    page.goto("/jobs?sort=name")
    html, client = page.locator("#live").inner_html(), page.context.new_cdp_session(page)
    answers = itertools.cycle((html, html.replace("job-1", "job-9").replace("has not", "has")))
    page.route("**/jobs?sort=name", lambda route: route.fulfill(body=next(answers)))
    poll = """count => new Promise(done => {
        const live = document.getElementById("live");
        const next = () => count-- ? htmx.trigger(live, "refresh") : done();
        live.addEventListener("htmx:after:swap", next);
        next();
    })"""
    page.evaluate(poll, 20)
    before = heap(client)
    page.evaluate(poll, POLLS)

    assert heap(client) - before < 1_000_000


def heap(client: CDPSession) -> int:
    """Return the bytes that scripts and elements of the page hold."""
    client.send("HeapProfiler.collectGarbage")
    used: int = client.send("Runtime.getHeapUsage")["usedSize"]
    return used


def test_a_screen_shows_twenty_jobs(open_page: Callable[..., Page], full_site: Site) -> None:
    page = open_page(width=1440, height=900)
    page.goto("/jobs?sort=name")
    rows = page.locator("tbody tr").evaluate_all(
        "rows => rows.filter(row => row.getBoundingClientRect().bottom <= innerHeight).length"
    )

    assert rows >= 20


def test_the_address_is_the_state(open_page: Callable[..., Page], full_site: Site) -> None:
    page = open_page()
    page.goto("/jobs")
    page.get_by_label("Search 40 jobs").fill("job-1")
    page.get_by_label("Order").select_option("name")
    page.get_by_role("button", name="Show").click()
    page.wait_for_url("**/jobs?*q=job-1*")
    shown, address = [f"job-1{digit}" for digit in range(10)], page.url
    expect(page.locator("a.name")).to_have_text(shown)
    page.locator("a.name").first.click()
    page.wait_for_url("**/jobs/job-10")
    page.go_back()

    expect(page).to_have_url(address)
    expect(page.locator("a.name")).to_have_text(shown)
    other = open_page()
    other.goto(address)
    expect(other.locator("a.name")).to_have_text(shown)
    expect(other.get_by_label("Order")).to_have_value("name")


def test_five_presses_start_one_run(open_page: Callable[..., Page], full_site: Site) -> None:
    page = open_page()
    page.goto("/jobs/job-05/run")
    page.get_by_role("button", name="Run now").evaluate(
        "button => { for (let n = 0; n < 5; n++) button.click(); }"
    )
    page.wait_for_url("**/runs/*")

    with full_site.database.reading() as session:
        runs = session.query(Run).join(Job, Job.id == Run.job_id).filter(Job.name == "job-05")
        assert len(runs.all()) == 1
