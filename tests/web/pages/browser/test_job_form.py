"""The form of a job in a browser: preview while typing, keys, two people, no faults."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, Route, expect

from jobs_app.core import clock
from jobs_app.jobs import service
from jobs_app.jobs.definition import from_document
from jobs_app.web.extension import NAME
from tests.web.pages.browser.conftest import Faults, Site, axe_findings


def make_job(site: Site, name: str) -> None:
    """Store a job that runs at 02:30 in Paris."""
    parts = site.app.extensions[NAME]
    document = {
        "task": "shell",
        "kwargs": {"command": "true"},
        "schedule": {"cron": "30 2 * * *", "timezone": "Europe/Paris"},
    }
    definition = from_document(document, parts.settings, name=name, app=parts.app)
    with site.database.session() as session:
        service.create(session, definition, app=parts.app, by="tester", at=clock.now())


def test_the_preview_follows_what_is_typed(browser_page: Page, site: Site) -> None:
    make_job(site, "typed")
    page = browser_page
    page.goto("/jobs/typed/edit")
    preview = page.locator("#preview")
    expect(preview).to_contain_text("At 02:30 every day, Europe/Paris time.")
    cron = page.get_by_role("textbox", name="Cron expression")

    cron.fill("15 4 * * *")

    expect(preview).to_contain_text("At 04:15 every day")
    expect(preview).to_contain_text("The next fire moves from")
    expect(cron).to_be_focused()
    cron.fill("61 4 * * *")
    expect(preview).to_contain_text("Not valid yet")
    page.get_by_label("once").check()
    page.get_by_label("At", exact=True).fill("2027-07-01T09:00")
    expect(page.locator("small.utc").first).to_have_text("= Thu 01 Jul 2027 07:00:00 UTC")


def test_control_s_saves_and_undo_takes_it_back(browser_page: Page, site: Site) -> None:
    make_job(site, "keyed")
    page = browser_page
    page.goto("/jobs/keyed/edit")
    page.get_by_role("textbox", name="Cron expression").fill("15 4 * * *")

    page.keyboard.press("Control+s")

    page.wait_for_url("**/jobs/keyed?saved=2")
    expect(page.get_by_role("status").filter(has_text="Saved as revision 2.")).to_be_visible()
    page.get_by_role("button", name="Undo").click()
    page.wait_for_url("**/jobs/keyed?saved=3")
    expect(page.locator("main")).to_contain_text("30 2 * * *")


def test_two_people_both_get_their_changes(
    open_page: Callable[..., Page], site: Site, faults: Faults
) -> None:
    faults.expected.append("status of 412")
    make_job(site, "raced")
    first, second = open_page(), open_page()
    for page in (first, second):
        page.goto("/jobs/raced/edit")
    first.get_by_role("textbox", name="Cron expression").fill("15 4 * * *")
    first.keyboard.press("Control+Enter")
    first.wait_for_url("**/jobs/raced?saved=2")
    second.get_by_role("textbox", name="Tags").fill("billing")
    second.get_by_role("textbox", name="Description").fill("wide" * 500)

    second.keyboard.press("Control+Enter")

    expect(second.get_by_role("heading", level=1)).to_have_text("Somebody was faster")
    expect(second.get_by_role("row", name="tags")).to_be_visible()
    second.wait_for_load_state()
    # A long text leaves the other columns their room.
    for column in second.get_by_role("columnheader").all():
        assert column.evaluate("cell => cell.clientWidth") > 150
    assert axe_findings(second) == []
    second.get_by_role("button", name="Save both changes").click()
    second.wait_for_url("**/jobs/raced?saved=3")
    expect(second.locator("main")).to_contain_text("15 4 * * *")
    expect(second.locator("main")).to_contain_text("billing")


def test_another_task_brings_its_arguments(browser_page: Page) -> None:
    page = browser_page
    page.goto("/new-job")
    page.get_by_role("textbox", name="Name").fill("slept")

    page.get_by_role("combobox", name="Task").select_option(label="sleep")

    page.get_by_role("textbox", name="duration").fill("5")
    expect(page.get_by_role("textbox", name="Name")).to_have_value("slept")
    page.get_by_label("by hand only").check()
    page.get_by_role("textbox", name="duration").press("Enter")
    page.wait_for_url("**/jobs/slept?saved=new")


def test_leaving_with_changes_asks(browser_page: Page, site: Site, faults: Faults) -> None:
    faults.expected.append("dialog: ")
    make_job(site, "left")
    page = browser_page
    page.goto("/jobs/left/edit")
    page.get_by_role("textbox", name="Tags").fill("billing")

    with page.expect_event("dialog") as question:
        page.get_by_role("link", name="Cancel").click()

    assert question.value.type == "beforeunload"


@pytest.mark.parametrize("address", ["/new-job", "/jobs/down/edit"])
def test_what_was_typed_is_back_after_an_outage(
    browser_page: Page, site: Site, faults: Faults, address: str
) -> None:
    faults.expected.append("status of 503")
    if address != "/new-job":
        make_job(site, "down")
    page = browser_page
    page.goto(address)
    page.get_by_role("textbox", name="Tags").fill("billing")

    def refuse(route: Route) -> None:
        if route.request.method == "POST":
            route.fulfill(status=503, body="<p>down</p>", content_type="text/html")
        else:
            route.continue_()

    page.route(f"**{address}", refuse)
    page.keyboard.press("Control+s")
    expect(page.locator("body")).to_have_text("down")
    page.evaluate("location.href = location.href")

    expect(page.get_by_role("textbox", name="Tags")).to_have_value("billing")
    expect(page.locator("#notice")).to_have_text("What you typed is back. It is not saved.")


@pytest.mark.parametrize(
    "scheme, width",
    [
        ("light", 1280),
        ("dark", 360),
        pytest.param("light", 360, marks=pytest.mark.nightly),
        pytest.param("dark", 1280, marks=pytest.mark.nightly),
    ],
)
def test_the_form_is_clean(open_page: Callable[..., Page], width: int, scheme: str) -> None:
    page = open_page(width=width, scheme=scheme)
    page.goto("/new-job")
    expect(page.locator("#preview")).to_contain_text("Not valid yet")
    # A task of one's own may have a long name.
    page.locator('[name="/task"]').evaluate(
        "select => select.append(new Option('mine.' + 'a_module_'.repeat(20)))"
    )
    for summary in page.locator("details.section > summary").all():
        if summary.evaluate("one => !one.parentElement.open"):
            summary.click()

    assert axe_findings(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.nightly
def test_a_job_is_made_without_script(open_page: Callable[..., Page]) -> None:
    page = open_page(script=False)
    page.goto("/new-job")
    page.get_by_role("combobox", name="Task").select_option(label="sleep")
    page.get_by_role("button", name="Show its arguments").click()
    page.get_by_role("textbox", name="duration").fill("1")
    page.get_by_role("textbox", name="Name").fill("plain")
    page.get_by_text("Start, end, spread").click()
    anchor = page.locator('[name="/schedule/anchor_at"]')
    expect(anchor).to_be_hidden()
    page.get_by_label("every so many days").check()
    page.get_by_role("textbox", name="Every").fill("2 weeks")
    expect(anchor).to_be_visible()
    page.get_by_label("every so many seconds").check()
    expect(anchor).to_be_visible()
    every = page.get_by_role("textbox", name="Every")
    every.fill("15")

    page.get_by_role("button", name="Show what it does").click()

    expect(page.locator("#preview")).to_contain_text("Every 15 seconds")
    expect(page.get_by_role("textbox", name="Cron expression")).to_be_hidden()
    every.press("Enter")
    page.wait_for_url("**/jobs/plain?saved=new")


def test_errors_get_the_focus(browser_page: Page, faults: Faults) -> None:
    faults.expected.append("status of 422")
    page = browser_page
    page.goto("/new-job")

    page.keyboard.press("Control+s")

    expect(page.locator("#errors")).to_be_focused()
    assert axe_findings(page) == []
    page.get_by_role("link", name="'name' is required.").first.click()
    expect(page.get_by_role("textbox", name="Name")).to_be_focused()


def test_each_schedule_shows_the_fields_of_its_own_kind(browser_page: Page, site: Site) -> None:
    make_job(site, "twice")
    page = browser_page
    page.goto("/jobs/twice/edit")

    page.get_by_role("button", name="Add a schedule").click()
    second = page.get_by_role("group", name="Schedule 2: it also runs")
    expect(second).to_be_in_viewport()
    second.get_by_label("once").check()

    expect(page.locator('[name="/schedules/1/at"]')).to_be_visible()
    expect(page.locator('[name="/schedules/1/cron"]')).to_be_hidden()
    expect(page.locator('[name="/schedule/cron"]')).to_be_visible()
    expect(page.locator('[name="/schedule/at"]')).to_be_hidden()
    page.locator('[name="/schedules/1/at"]').fill("2030-07-01T09:00")
    expect(page.locator("#preview")).to_contain_text("and once at 2030-07-01 09:00")
    assert not axe_findings(page)
    page.get_by_role("button", name="Remove schedule 2").click()
    expect(page.get_by_role("group", name="It runs")).to_be_visible()
