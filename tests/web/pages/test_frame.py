"""The frame of the pages: headers and the polled region."""

from typing import Any

from tests.web.conftest import Api
from tests.web.pages.conftest import Page


def test_a_page_has_a_strict_content_policy_and_no_inline_code(page: Page) -> None:
    answer = page("/jobs")

    assert answer.status_code == 200
    policy = answer.headers["Content-Security-Policy"]
    assert "script-src 'self'" in policy
    assert "unsafe" not in policy
    for forbidden in ("<script>", " style=", " onclick=", "hx-on", "js:"):
        assert forbidden not in answer.text


def test_a_poll_of_an_unchanged_region_is_answered_with_304(page: Page) -> None:
    first = page("/jobs", **{"HX-Request": "true", "HX-PTag": "none"})
    tag = first.headers["HX-PTag"]
    again = page("/jobs", **{"HX-Request": "true", "HX-PTag": tag})

    assert "<html" not in first.text
    assert (again.status_code, again.data) == (304, b"")


def test_a_poll_shows_a_change_after_a_second(api: Api, page: Page, monkeypatch: Any) -> None:
    monkeypatch.setattr("jobs_app.web.pages.regions.FRESH_SECONDS", 0)
    tag = page("/jobs", **{"HX-Request": "true", "HX-PTag": "none"}).headers["HX-PTag"]
    api.make_job("nightly")
    after = page("/jobs", **{"HX-Request": "true", "HX-PTag": tag})

    assert after.status_code == 200
    assert "nightly" in after.text


def test_the_page_has_the_tag_that_its_first_poll_sends(api: Api, page: Page) -> None:
    api.make_job("nightly")
    whole = page("/jobs")
    tag = whole.text.partition('hx-ptag="')[2].partition('"')[0]
    poll = page("/jobs", **{"HX-Request": "true", "HX-PTag": tag})

    assert poll.status_code == 304


def test_a_poll_without_a_tag_gets_the_region_alone(page: Page) -> None:
    answer = page("/jobs", **{"HX-Request": "true", "HX-Target": "div#live"})

    assert "<html" not in answer.text
    assert answer.headers["HX-PTag"]
