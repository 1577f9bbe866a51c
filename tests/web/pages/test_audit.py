"""The page of the audit."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from jobs_app.core import clock
from jobs_app.core.text import rfc3339
from jobs_app.db.engine import Database
from jobs_app.db.models.accounts import AuditEvent
from tests.web.conftest import Api, Page

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


def test_it_shows_who_did_what_with_the_values_before_and_after(page: Page, api: Api) -> None:
    api.make_job("nightly", description="first <b>")
    api.patch("/jobs/nightly", {"description": "second"})

    text = page("/audit").text

    assert '<a href="/jobs/nightly">nightly</a>' in text
    assert "<code>description</code>" in text
    assert "<code>first &lt;b&gt;</code>" in text
    assert "<code>second</code>" in text
    assert '<a href="/audit?person=tester">tester</a>' in text
    assert "API <code>127.0.0.1</code>" in text


def test_the_filters_are_in_the_address(page: Page, api: Api, page_of: Callable[..., Page]) -> None:
    api.make_job("one")
    api.make_job("two")
    api.post("/jobs/two/pause")
    page_of("viewer", name="ben").post("/sign-out")

    found = {
        query: set(re.findall(r'href="/audit\?action=(\w+)"', page(f"/audit?{query}").text))
        for query in (
            *("job=two", "action=pause", "person=ben", "via=page", "job=one&action=pause"),
            *("action=pause,sign_out", "via=page&via=system"),
        )
    }

    assert found == {
        "job=two": {"create", "pause"},
        "action=pause": {"pause"},
        "person=ben": {"sign_out"},
        "via=page": {"sign_out"},
        "job=one&action=pause": set(),
        "action=pause,sign_out": {"pause", "sign_out"},
        "via=page&via=system": {"create_person", "sign_out"},
    }
    assert "No event matches." in page("/audit?job=one&action=pause").text
    assert 'value="ben"' in page("/audit?person=ben").text
    text = page("/audit?via=page&via=system").text
    assert '<option value="page,system" selected>page, by itself</option>' in text


def test_an_instant_that_is_typed_gets_the_zone_of_the_page(page: Page, api: Api) -> None:
    page.client.set_cookie("jobs_zone", "Asia/Tokyo")
    api.make_job("nightly")

    typed = page("/audit?from=2026-11-30T09:00&action=create")
    address = typed.headers["Location"]
    assert (typed.status_code, address) == (
        303,
        "/audit?from=2026-11-30T00:00:00Z&action=create",
    )
    assert 'value="2026-11-30T09:00"' in page(address).text
    at = clock.now()
    hour = timedelta(hours=1)
    queries = {
        f"from={rfc3339(at - hour)}": True,
        f"to={rfc3339(at - hour)}": False,
        f"from={rfc3339(at - hour)}&to={rfc3339(at + hour)}": True,
    }
    for query, is_shown in queries.items():
        assert ("/jobs/nightly" in page(f"/audit?{query}").text) is is_shown


def test_older_events_are_on_further_pages(page: Page, database: Database) -> None:
    at = datetime(2026, 11, 23, tzinfo=UTC)
    with database.session() as session:
        session.add_all(
            AuditEvent(at=at, actor="ann", action="sign_in", detail={"n": n}) for n in range(120)
        )
        session.commit()

    path, sizes = "/audit?action=sign_in", []
    while path:
        text = page(path).text
        sizes.append(text.count('href="/audit?action=sign_in"'))
        match = re.search(r'href="([^"]+cursor=[^"]+)">Older', text)
        path = match[1].replace("&amp;", "&") if match else ""

    assert sum(sizes) == 120 + 2
    assert len(sizes) == 3


@pytest.mark.parametrize(
    "query, status",
    [
        ("job=nothing", 404),
        ("via=smoke", 422),
        ("from=yesterday", 422),
        ("cursor=x", 400),
        ("limit=0", 422),
        ("person=%00", 422),
        ("unknown=1", 200),
    ],
)
def test_a_wrong_filter_is_named_on_the_page(page: Page, query: str, status: int) -> None:
    answer = page(f"/audit?{query}")

    assert answer.status_code == status
    assert "Filter the audit" in answer.text
    assert ('role="alert"' in answer.text) is (status != 200)


def test_each_role_sees_its_part_without_arguments_or_other_teams(
    api: Api, page_of: Callable[..., Page]
) -> None:
    api.make_job("ours", tags=["a"], kwargs={"command": "echo private"})
    api.make_job("theirs", tags=["b"])
    api.patch("/jobs/ours", {"kwargs": {"command": "echo changed"}})
    api.post("/jobs/ours/runs", {})
    viewer, limited = (
        page_of("viewer")("/audit").text,
        page_of("operator", (), ("a",))("/audit").text,
    )
    admin = page_of("admin", name="root")("/audit").text

    assert "private" not in viewer
    assert "private" in admin
    assert 'action=start"' not in viewer
    assert 'action=start"' in limited
    assert "theirs" in viewer
    assert "theirs" not in limited
    assert "create_person" in admin
    assert "create_person" not in viewer + limited


def test_new_events_wait_above_the_list(
    page: Page, api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobs_app.web.pages.regions.FRESH_SECONDS", 0)
    api.make_job("one")
    address = page("/audit?action=create").text.partition('hx-get="')[2].partition('"')[0]
    address = address.replace("&amp;", "&")
    headers = {"HX-Request": "true", "HX-PTag": "none"}

    first = page(address, **headers)
    again = page(address, **headers | {"HX-PTag": first.headers["HX-PTag"]})
    for name in ("two", "three"):
        api.make_job(name)
    api.post("/jobs/two/pause")
    later = page(address, **headers)

    assert (first.status_code, again.status_code) == (200, 304)
    assert first.text.count("<tr ") == later.text.count("<tr ") == 2
    assert '<a class="button solid" href="/audit?action=create">2 new events</a>' in later.text
    assert "new event" not in first.text
    assert page("/audit?action=create").text.count('href="/audit?action=create">create') == 3


def test_further_pages_stay_as_they_are(page: Page, api: Api) -> None:
    for name in ("one", "two"):
        api.make_job(name)
    older = page("/audit?action=create&limit=1").text.partition('class="pager"')[2]
    link = older.partition('href="')[2].partition('"')[0].replace("&amp;", "&")
    text = page(link).text

    assert "since=" not in text
    assert "new event" not in text
    assert ">Newest</a>" in text
