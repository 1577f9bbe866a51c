"""Zone and theme."""

from tests.web.pages.conftest import Page
from tests.web.pages.html_forms import forms_of


def test_zone_and_theme_are_kept_by_the_browser(page: Page) -> None:
    form = {"zone": "Asia/Tokyo", "theme": "dark", "back": "/jobs?q=a"}
    answer = page.post("/preferences", form)

    assert (answer.status_code, answer.headers["Location"]) == (303, "/jobs?q=a")
    after = page("/jobs")
    assert 'data-zone="Asia/Tokyo"' in after.text
    assert 'data-theme="dark"' in after.text


def test_a_wrong_zone_is_named(page: Page) -> None:
    answer = page.post("/preferences", {"zone": "Europe/Pariss"})

    assert answer.status_code == 422
    assert "Europe/Paris" in answer.text


def test_a_refused_form_keeps_what_was_typed(page: Page) -> None:
    typed = {"zone": "Mars/Phobos", "theme": "dark", "back": "/runs"}

    answer = page.post("/preferences", typed)

    assert answer.status_code == 422
    assert forms_of(answer.text)["/preferences"].items() >= typed.items()
    assert 'aria-describedby="zone-help zone-error"' in answer.text


def test_saving_leads_to_no_other_site(page: Page) -> None:
    for back in ("//evil.test", "https://evil.test", "/\\evil.test", "/\tevil", "evil", "/%0a", ""):
        answer = page.post("/preferences", {"theme": "dark", "back": back})
        assert answer.headers["Location"] == "/"
