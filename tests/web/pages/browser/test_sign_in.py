"""Sign in with a real browser: its cookies, its Origin and Sec-Fetch-Site, and no script."""

from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from playwright.sync_api import Page, expect

from jobs_app.accounts import links, people
from jobs_app.accounts.people import Rights
from jobs_app.core.roles import AccountKind, Role
from tests.web.pages.browser.conftest import Faults, Site, axe_findings

PASSWORD = "tortoise lamp"


def invite(site: Site, name: str) -> str:
    """Return the path of an invitation."""
    with site.database.session() as session:
        at, rights = datetime.now(UTC), Rights(Role.EDITOR)
        person = people.create(session, name, AccountKind.PERSON, rights, by="root", at=at)
        return f"/links/{links.make(session, person, by='root', at=at)}"


@pytest.mark.parametrize(
    "script",
    [
        pytest.param(True, id="script", marks=pytest.mark.nightly),
        pytest.param(False, id="no script"),
    ],
)
def test_an_invitation_a_sign_out_and_a_sign_in(
    site: Site, open_page: Callable[..., Page], script: bool
) -> None:
    name = f"person-{script}"
    page = open_page(signed_in=False, script=script)

    page.goto(invite(site, name))
    if script:
        assert axe_findings(page) == []
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Set the password").click()
    page.wait_for_url(f"{site.url}/")
    page.get_by_text(name).click()
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url("**/sign-in")
    page.goto("/jobs?q=a")
    expect(page).to_have_url(f"{site.url}/sign-in?next=/jobs?q%3Da")
    page.get_by_label("Name").fill(name)
    page.get_by_label("Password").fill(PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_url("**/jobs?q=a")


def test_a_form_that_was_open_too_long_is_kept(
    site: Site, open_page: Callable[..., Page], faults: Faults
) -> None:
    faults.expected += ["status of 401"]
    page = open_page(signed_in=False)
    page.goto(invite(site, "ben"))
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Set the password").click()
    page.wait_for_url(f"{site.url}/")
    page.goto("/preferences")
    page.get_by_label("Time zone").fill("Asia/Tokyo")
    page.context.clear_cookies()
    page.get_by_role("button", name="Save").click()

    expect(page.get_by_text("What you typed is kept")).to_be_visible()
    assert axe_findings(page) == []
    page.get_by_label("Name").fill("ben")
    page.get_by_label("Password").fill(PASSWORD)
    page.keyboard.press("Enter")
    page.get_by_text("Asia/Tokyo").wait_for()
    assert axe_findings(page) == []
    with page.expect_navigation():
        page.get_by_role("button", name="Send it").click()
    page.goto("/preferences")
    expect(page.get_by_label("Time zone")).to_have_value("Asia/Tokyo")


def test_another_site_cannot_send_our_forms(
    site: Site, open_page: Callable[..., Page], faults: Faults
) -> None:
    faults.expected += ["request to another host", "status of 403"]
    page = open_page()
    page.goto("/preferences")
    token = page.locator("input[name=csrf_token]").first.input_value()
    other = site.url.replace("127.0.0.1", "localhost")
    form = (
        f'<form method="post" action="{site.url}/preferences"><button>Send</button>'
        f'<input name="zone" value="Asia/Tokyo"><input name="csrf_token" value="{token}"></form>'
    )
    page.route(f"{other}/evil", lambda route: route.fulfill(body=form, content_type="text/html"))

    page.goto(f"{other}/evil")
    with page.expect_response(f"{site.url}/preferences") as answer:
        page.get_by_role("button", name="Send").click()

    assert answer.value.status == 403
    page.goto("/preferences")
    expect(page.get_by_label("Time zone")).not_to_have_value("Asia/Tokyo")
