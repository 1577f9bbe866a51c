"""The page of the API in a browser: it shows the operations, and is clean."""

from collections.abc import Callable

from playwright.sync_api import Page

from tests.web.pages.browser.conftest import Faults, Site


def test_the_page_shows_the_operations_and_is_clean(browser_page: Page, site: Site) -> None:
    browser_page.goto("/api/docs")
    browser_page.get_by_label("Token").fill(site.token)

    browser_page.keyboard.press("Enter")

    browser_page.get_by_text("/api/v1/jobs/{name}/pause").wait_for()


def test_a_fault_of_a_page_is_noticed(open_page: Callable[..., Page], faults: Faults) -> None:
    page = open_page(width=360, scheme="dark")
    page.goto("/api/docs")

    with (
        page.expect_console_message(lambda message: message.text.startswith("content policy")),
        page.context.expect_event("weberror"),
    ):
        page.evaluate("""() => {
            const image = document.createElement("img");
            image.src = "http://elsewhere.invalid/image.png";
            document.body.append(image);
            setTimeout(() => { throw new Error("a slip"); });
        }""")

    found = "\n".join(faults.unexpected())
    faults.found.clear()
    assert "content policy: img-src http://elsewhere.invalid/image.png" in found
    assert "error: a slip" in found
