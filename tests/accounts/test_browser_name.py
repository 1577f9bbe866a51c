"""What browser a session belongs to."""

import pytest

from jobs_app.accounts.browser_name import browser_name


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
    assert browser_name(user_agent) == words
