"""Accounts in words."""

import pytest

from jobs_app.core.roles import Grant, Role, Scope
from jobs_app.web.pages import account_words


@pytest.mark.parametrize(
    "user_agent, words",
    [
        ("Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/2 Firefox/140.0", "Firefox on Linux"),
        ("Mozilla/5.0 (Windows NT 10.0) Chrome/150.0 Safari/537.36 Edg/150.0", "Edge on Windows"),
        ("Mozilla/5.0 (Macintosh; Intel Mac OS X) Version/18 Safari/605.1", "Safari on macOS"),
        ("Mozilla/5.0 (Linux; Android 15) Chrome/150.0 Mobile", "Chrome on Android"),
        ("curl/8.5.0", "curl"),
        ("<script>/1", "<script>"),
        ("", "a browser"),
    ],
)
def test_a_browser_has_a_short_name(user_agent: str, words: str) -> None:
    assert account_words.browser(user_agent) == words


def test_each_role_grant_and_scope_has_its_words() -> None:
    assert {*account_words.ROLES} == {*Role}
    assert {*account_words.GRANTS} == {*Grant}
    assert {*account_words.SCOPES} == {*Scope}


def test_limits_and_scopes_are_said_in_words() -> None:
    assert account_words.limit(None) == "all jobs"
    assert account_words.limit(["b", "a"]) == "jobs with a or b"
    assert account_words.scopes(None) == account_words.scopes([*Scope]) == "all"
    assert account_words.scopes(["run", "read"]) == "read, run"
