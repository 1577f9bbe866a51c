"""What the pages can do where no script runs."""

from collections.abc import Callable
from datetime import UTC, datetime

from playwright.sync_api import Page, expect

from jobs_app.core.states import RunState, Trigger
from jobs_app.db.columns import new_run_id
from jobs_app.db.models.runs import LogChunk, Run
from tests.web.pages.browser.conftest import Site


def test_the_daily_work_is_done_without_script(open_page: Callable[..., Page], site: Site) -> None:
    page = open_page(script=False)
    page.goto("/new-job")
    page.locator('[name="/name"]').fill("night-work")
    page.locator('[name="/kwargs/command"]').fill("echo hello")
    page.locator('[name="/schedule/cron"]').fill("30 2 * * *")
    page.get_by_role("button", name="Show what it does").click()
    expect(page.get_by_text("At 02:30 every day")).to_be_visible()
    page.get_by_role("button", name="Save").first.click()
    expect(page.get_by_role("heading", level=1)).to_have_text("night-work")

    page.locator("main").get_by_role("link", name="Run").first.click()
    page.get_by_role("button", name="Run now").click()
    page.wait_for_url("**/runs/*")
    expect(page.locator("main")).to_contain_text("queued")
    run = page.url
    page.get_by_role("link", name="Cancel").click()
    page.get_by_role("button", name="Cancel the run").click()
    page.wait_for_url(run)
    expect(page.locator("main")).to_contain_text("cancelled")

    page.goto("/jobs/night-work")
    page.get_by_role("link", name="Pause").click()
    page.get_by_label("Why").fill("moving")
    page.get_by_role("button", name="Pause").click()
    page.wait_for_url("**/jobs/night-work")
    expect(page.locator("main")).to_contain_text("“moving”")
    page.get_by_role("link", name="Resume", exact=True).first.click()
    page.get_by_role("button", name="Resume").click()
    page.wait_for_url("**/jobs/night-work")
    page.get_by_role("link", name="Edit").first.click()
    page.locator('[name="/description"]').fill("What it is for.")
    page.get_by_role("button", name="Save").first.click()
    page.wait_for_url("**/jobs/night-work?saved=*")
    expect(page.locator("main")).to_contain_text("What it is for.")

    page.goto("/jobs")
    page.get_by_label("State").select_option("paused")
    page.get_by_role("button", name="Show").click()
    expect(page.locator("main")).to_contain_text("No job matches.")
    page.get_by_role("link", name="Clear the filters").click()
    expect(page.locator("main")).to_contain_text("night-work")


def test_a_log_is_read_without_script(open_page: Callable[..., Page], site: Site) -> None:
    at = datetime.now(UTC)
    run = Run(
        id=new_run_id(),
        state=RunState.SUCCEEDED,
        trigger=Trigger.MANUAL,
        task="sleep",
        kwargs={},
        queue="default",
        created_at=at,
        started_at=at,
        finished_at=at,
        log_bytes=13,
    )
    chunk = LogChunk(run_id=run.id, attempt=1, seq=0, stream="stdout", text="a line of it\n", at=at)
    site.store(run, chunk)
    page = open_page(script=False)
    page.goto(f"/runs/{run.id}")

    expect(page.locator(".log-plain")).to_contain_text("a line of it")
