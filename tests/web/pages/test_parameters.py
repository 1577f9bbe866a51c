"""What the address of a page asks for is read, refused, or named as unknown; never dropped."""

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask import Flask

from jobs_app.web.pages.parameters import PARAMETERS
from jobs_app.web.permissions import OPEN, PAGE_SUFFIX
from tests.web.conftest import NOW, Api, Page, a_run

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

#: What scripts read, and files: they have no place for a sentence.
NO_PAGES = frozenset(
    {"run_log_page.download", "run_log_page.follow", "run_log_page.read", "run_page.result"}
)
NOTE = "This page does not know what its address asks for with <code>{}</code>"

RUN = "01890000-0000-7000-8000-000000000000"


@pytest.fixture
def address(api: Api, store: Callable[..., None]) -> Callable[[str], str]:
    """Return a path with the id of a run of the job `nightly` in place of ID."""
    run = a_run(job_id=api.make_job()["id"], created_at=NOW)
    store(run)
    return lambda path: path.replace("ID", str(run.id))


def pages(app: Flask) -> Iterator[tuple[str, str]]:
    """Yield the endpoint of each page that can be asked for, and its address."""
    examples = {"name": "nightly", "number": 1, "run_id": "ID", "line": "x", "key": "x"}
    for rule in app.url_map.iter_rules():
        is_page = rule.endpoint.partition(".")[0].endswith(PAGE_SUFFIX)
        if is_page and "GET" in (rule.methods or ()) and rule.endpoint not in OPEN | NO_PAGES:
            built = rule.build(dict(examples))
            assert built is not None
            yield rule.endpoint, built[1].partition("?")[0]


def test_each_page_names_what_it_does_not_know(
    app: Flask, page: Page, address: Callable[[str], str]
) -> None:
    seen, nobody = set(), Page(app, "")
    for endpoint, path in pages(app):
        # Whoever is signed in is led on.
        visitor = nobody if endpoint == "sign_in_page.sign_in" else page
        answer = visitor(address(f"{path}?before=zzz&<b>=1"))
        assert NOTE.format("before") in answer.text, endpoint
        assert "<code>&lt;b&gt;</code>" in answer.text, endpoint
        asked = "&".join(f"{name}=" for name in PARAMETERS.get(endpoint, ()))
        fine = visitor(address(f"{path}?{asked}"))
        assert "This page does not know" not in fine.text, endpoint
        seen.add(endpoint)
    assert seen >= PARAMETERS.keys()
    assert len(seen) > 25


@pytest.mark.parametrize(
    "path, status",
    [
        ("/audit?cursor=zzz", 400),
        ("/audit?via=zzz", 422),
        ("/invite?kind=zzz", 400),
        ("/jobs?cursor=!!", 400),
        ("/jobs?limit=zzz", 422),
        ("/jobs?sort=zzz", 422),
        ("/jobs?state=zzz", 422),
        ("/jobs/nightly/changes/1?with=zzz", 400),
        ("/jobs/nightly/changes/1?with=²", 400),
        ("/jobs/nightly/changes/1?with=99", 404),
        ("/jobs/nightly/edit?as=zzz", 400),
        ("/jobs/nightly/run?like=zzz", 400),
        (f"/jobs/nightly/run?like={RUN}", 404),
        ("/jobs/nightly/why?at=zzz", 422),
        ("/new-job?from=zzz", 404),
        ("/people?after=!!", 400),
        ("/runs?cursor=zzz", 400),
        ("/runs?from=zzz", 422),
        ("/runs?since=zzz", 400),
        ("/runs?state=zzz", 422),
        ("/runs?trigger=zzz", 422),
        ("/runs/ID?attempt=zzz", 400),
        ("/runs/ID?part=zzz", 400),
        ("/runs/ID/log?after=zzz", 400),
        ("/runs/ID/log?part=zzz", 400),
        ("/runs/ID/log.txt?attempt=zzz", 400),
    ],
)
def test_a_wrong_value_is_refused(
    page: Page, address: Callable[[str], str], path: str, status: int
) -> None:
    answer = page(address(path))

    assert answer.status_code == status
    assert "<h1>" in answer.text


@pytest.mark.parametrize(
    "path, words, restart",
    [
        ("/jobs?cursor=!!&tag=a", "The first page", "/jobs?tag=a"),
        ("/runs?cursor=!!&state=failed&state=lost&since=x", "The first page", None),
        ("/people?after=!!", "The first page", "/people"),
        ("/jobs?limit=zzz&tag=a", "The page without that", "/jobs"),
        ("/runs/ID?attempt=zzz", "The page without that", "/runs/ID"),
        ("/jobs/nightly/edit?as=zzz", "The page without that", "/jobs/nightly/edit"),
    ],
)
def test_a_refusal_leads_back_to_the_page(
    page: Page, address: Callable[[str], str], path: str, words: str, restart: str | None
) -> None:
    wanted = address(restart or "/runs?state=failed&amp;state=lost")

    text = page(address(path)).text

    assert f'<p><a href="{wanted}">{words}</a></p>' in text
    assert page(wanted.replace("&amp;", "&")).status_code == 200


@pytest.mark.parametrize(
    "path", ["/jobs?limit=1", "/runs?limit=1", "/audit?limit=1", "/jobs?cursor=!!"]
)
def test_an_address_decides_nothing_about_the_links_of_its_page(
    api: Api, page: Page, store: Callable[..., None], path: str
) -> None:
    for name in ("one", "two"):
        api.make_job(name)
    store(*(a_run(created_at=NOW) for _ in range(2)))
    plain = links(page(path))

    for more in ("endpoint=x", "_scheme=javascript", "_external=1", "_anchor=x", "values=1"):
        assert links(page(f"{path}&{more}")) == plain, more


def links(answer: Any) -> list[str]:
    """Return the links in the main part of a page."""
    return re.findall(r'<a [^>]*href="([^"]*)"', answer.text.partition("<main")[2])
