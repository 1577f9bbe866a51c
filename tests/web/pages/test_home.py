"""The first page."""

from tests.web.pages.conftest import Page


def test_the_first_page_leads_to_the_jobs(page: Page) -> None:
    assert page("/").headers["Location"].endswith("/jobs")
