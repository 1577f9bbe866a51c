"""The page Doctor: findings with what helps, for admins."""

from collections.abc import Callable

import pytest

from tests.web.pages.conftest import Page


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_an_admin_sees_findings_with_what_helps_and_others_no_page(
    page_of: Callable[..., Page],
) -> None:
    admin, editor = page_of("admin", name="ann"), page_of("editor", name="eve")

    shown = admin.get("/doctor")

    assert shown.status_code == 200
    assert "No scheduler runs: no job fires." in shown.text
    assert "Start one: jobs-app up, or scheduler." in shown.text
    assert "The schema of the database is that of this version." in shown.text
    # Names keep their capitals.
    assert "SQLite is on a local disk." in shown.text
    assert "Whether no other program has the port of the web server: the web server" in shown.text
    assert 'href="/doctor"' in shown.text
    assert editor.get("/doctor").status_code == 403
    assert 'href="/doctor"' not in editor.get("/me").text
