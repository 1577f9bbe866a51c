"""Every page in both themes and at several widths: axe, overflow, messages, content policy."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from playwright.sync_api import Page, expect
from sqlalchemy import delete

from jobs_app.core import clock
from jobs_app.core.states import FINAL, RunState, Trigger
from jobs_app.db.columns import new_run_id
from jobs_app.db.models.jobs import Job
from jobs_app.db.models.processes import SchedulerProcess
from jobs_app.db.models.runs import Run
from jobs_app.jobs.attention import attention
from jobs_app.web.permissions import OPEN, PAGE_SUFFIX
from tests.web.pages.browser.conftest import Faults, Scheme, Site, axe_findings

NOW = datetime.now(UTC).replace(microsecond=0)

#: Files, streams, and what needs a key.
OTHERS = frozenset(
    {
        "run_log_page.download",
        "run_log_page.follow",
        "run_log_page.read",
        "run_page.result",
        "links_page.show",
    }
)

VIEWS: list[tuple[Scheme, int]] = [
    (scheme, width) for scheme in ("light", "dark") for width in (360, 768, 1280)
]


@pytest.fixture(scope="module")
def full_site(site: Site) -> Site:
    """A site with jobs and runs in every state."""
    started = NOW - timedelta(minutes=5)
    jobs = [
        Job(
            id=number,
            name=name,
            task="shell",
            kwargs={"command": "echo " + "a-long-word-" * number * 4},
            tags=["billing", "infra"],
            description="What it is for.",
            cron="30 2 * * 1-5",
            timezone="Europe/Paris",
            failures_in_a_row=number - 1,
            created_at=started,
            updated_at=started,
        )
        for number, name in enumerate(("nightly-report", "b" * 90), start=1)
    ]
    jobs += [_watching(3, "watching"), _watching(4, "watching-too")]
    runs = [_run(state, number) for number, state in enumerate(RunState)]
    site.store(*jobs, *runs)
    return site


def _watching(number: int, name: str) -> Job:
    """Return a job that only watches."""
    since = NOW - timedelta(hours=3)
    return Job(
        id=number,
        name=name,
        task="sleep",
        kwargs={"duration": 1},
        cron="0 * * * *",
        timezone="UTC",
        observe=True,
        observing_since=since,
        created_at=since,
        updated_at=since,
    )


def _run(state: RunState, number: int) -> Run:
    at = NOW - timedelta(minutes=10 * number + 10)
    error = {"type": "Broken", "message": "no database " * 20, "traceback": "File x\n" * 5}
    is_over = state in FINAL
    return Run(
        id=new_run_id(),
        job_id=1,
        state=state,
        trigger=Trigger.SCHEDULE,
        scheduled_for=at,
        task="shell",
        kwargs={"command": "echo"},
        queue="default",
        created_at=at,
        started_at=at + timedelta(seconds=1),
        finished_at=at + timedelta(seconds=5 + number) if is_over else None,
        error=error if state is RunState.FAILED else None,
        result={"rows": [1, 2, {"deep": [True, None]}]} if state is RunState.SUCCEEDED else None,
        is_exclusive=False,
    )


def addresses(site: Site) -> Iterator[str]:
    """Yield an address of each page that a browser can open, from the routes themselves."""
    with site.database.reading() as session:
        run_id = str(session.query(Run.id).filter(Run.state == RunState.FAILED).scalar())
        line = attention(session, at=clock.now())[0].id
    examples: dict[str, Any] = {"name": "nightly-report", "run_id": run_id, "number": 1}
    examples["line"] = line
    for rule in site.app.url_map.iter_rules():
        is_page = rule.endpoint.partition(".")[0].endswith(PAGE_SUFFIX)
        if not is_page or "GET" not in (rule.methods or ()) or rule.endpoint in OTHERS | OPEN:
            continue
        values = examples | ({"name": "ann"} if rule.endpoint.startswith("people") else {})
        built = rule.build({name: values[name] for name in rule.arguments})
        assert built is not None
        yield built[1]
    # A job that only watches has a banner, and a page that asks before it runs.
    yield "/jobs/watching"
    yield "/jobs/watching/activate"
    yield "/jobs?q=nothing"
    yield "/jobs/nothing-there"


def test_every_page_is_clean(
    full_site: Site, open_page: Callable[..., Page], faults: Faults
) -> None:
    page = open_page(width=1280, scheme="light")
    faults.expected += ["status of 404"]
    findings = {}
    for address in addresses(full_site):
        page.set_viewport_size({"width": 1280, "height": 900})
        page.goto(address)
        found = axe_findings(page) + _overflow(page, 1280)
        # The narrowest screen on which a list is a table.
        page.set_viewport_size({"width": 701, "height": 900})
        found += _overflow(page, 701)
        # A screen 360 pixels wide at 200 %: what fits into it fits into 360.
        page.set_viewport_size({"width": 180, "height": 450})
        found += _overflow(page, 180)
        if found:
            findings[address] = found
    assert findings == {}


@pytest.mark.nightly
@pytest.mark.parametrize("scheme, width", VIEWS)
def test_every_page_is_clean_in_every_view(
    full_site: Site,
    open_page: Callable[..., Page],
    faults: Faults,
    scheme: Scheme,
    width: int,
) -> None:
    page = open_page(width=width, scheme=scheme)
    faults.expected += ["status of 404"]
    findings = {}
    for address in addresses(full_site):
        page.goto(address)
        found = axe_findings(page) + _overflow(page, width)
        if found:
            findings[address] = found
    assert findings == {}


#: Opens each menu, and returns the first words of those that reach beyond an edge.
CUT_MENUS = """
[...document.querySelectorAll("details.menu")].filter(menu => {
    menu.open = true;
    const list = menu.querySelector("ul").getBoundingClientRect();
    menu.open = false;
    return list.left < 0 || list.right > document.documentElement.clientWidth;
}).map(menu => menu.textContent.trim().slice(0, 20))
"""


def _overflow(page: Page, width: int) -> list[str]:
    overflow = page.evaluate("document.documentElement.scrollWidth") - width
    found = [f"{overflow} px wider than {width}"] if overflow > 0 else []
    return found + [f"menu cut at {width}: {menu}" for menu in page.evaluate(CUT_MENUS)]


def test_a_job_that_only_watches_starts_to_run_in_two_clicks(
    full_site: Site, open_page: Callable[..., Page]
) -> None:
    page = open_page(width=360, scheme="dark")
    page.goto("/jobs/watching-too")
    banner = page.locator(".banner", has_text="It only watches")
    expect(banner).to_contain_text("its fires are recorded, and nothing runs")

    banner.get_by_role("link", name="Start running…").click()
    page.wait_for_url("**/jobs/watching-too/activate")
    expect(page.locator("main")).to_contain_text("nothing starts at once")
    page.get_by_role("button", name="Start running").click()

    page.wait_for_url("**/jobs/watching-too?saved=*")
    expect(page.get_by_role("heading", level=1)).to_have_text("watching-too")
    expect(banner).to_have_count(0)


@pytest.mark.nightly
def test_the_doctor_says_what_helps_and_looks_again(
    full_site: Site, open_page: Callable[..., Page]
) -> None:
    page = open_page(width=360)
    page.goto("/doctor")
    finding = page.get_by_role("row").filter(has_text="No scheduler runs")
    expect(finding).to_contain_text("Start one: jobs-app up, or scheduler.")
    now = clock.now()
    scheduler = SchedulerProcess(name="a", pid=1, is_active=True, started_at=now, ticked_at=now)
    full_site.store(scheduler)

    page.get_by_role("link", name="Look again").click()

    expect(page.locator("main")).to_contain_text("A scheduler looks at what is due.")
    expect(finding).to_have_count(0)
    with full_site.database.session() as session:
        session.execute(delete(SchedulerProcess))
        session.commit()
