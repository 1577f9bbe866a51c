"""The form with which somebody takes care of what needs attention."""

from collections.abc import Callable

from tests.web.pages.conftest import Page


def line_of(page: Page) -> str:
    """Return the address of the form for the first line."""
    address: str = page("/").text.partition('href="/attention/')[2].partition('"')[0]
    return f"/attention/{address}"


def test_one_says_so_with_a_note_and_takes_it_back(
    page: Page, page_of: Callable[..., Page]
) -> None:
    line = line_of(page)
    viewer = page_of("viewer")
    assert "No scheduler runs" in page(line).text

    assert page.post(line, {"note": "asked the <b>DBAs</b>"}).status_code == 303

    assert "“asked the &lt;b&gt;DBAs&lt;/b&gt;”" in viewer("/").text
    assert "take-back" not in viewer("/").text
    assert f'action="{line}/take-back"' in page("/").text
    assert page.post(f"{line}/take-back").status_code == 303
    assert "DBAs" not in page("/").text


def test_whoever_only_reads_has_no_form(page: Page, page_of: Callable[..., Page]) -> None:
    line, viewer = line_of(page), page_of("viewer")

    assert 'href="/attention/' not in viewer("/").text
    assert viewer(line).status_code == 403
    assert viewer.post(line).status_code == 403


def test_a_note_that_is_too_long_comes_back_and_a_line_that_is_gone_is_no_page(page: Page) -> None:
    line = line_of(page)

    answer = page.post(line, {"note": "x" * 2001})

    assert answer.status_code == 422
    assert "x" * 2001 in answer.text
    assert page("/attention/gone").status_code == 404
    assert page.post("/attention/gone").status_code == 404
