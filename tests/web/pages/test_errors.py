"""Errors as pages."""

from tests.web.pages.conftest import Page


def test_an_error_of_a_page_is_a_page(page: Page) -> None:
    answer = page("/nothing/here")

    assert answer.status_code == 404
    assert "There is nothing at this address." in answer.text
    assert "All jobs" in answer.text


def test_an_error_of_the_api_is_no_page(page: Page) -> None:
    assert page("/api/v1/nothing").mimetype == "application/problem+json"
