"""The address of the web server, for people."""

import pytest

from jobs_app.core.settings import Settings
from jobs_app.core.web_address import is_local_http, link_address, local_address


@pytest.mark.parametrize(
    "host, address",
    [
        ("127.0.0.1", "http://127.0.0.1:5000"),
        ("0.0.0.0", "http://127.0.0.1:5000"),
        ("::", "http://[::1]:5000"),
        ("jobs.example.org", "http://jobs.example.org:5000"),
    ],
)
def test_the_address_of_this_machine_can_be_opened(host: str, address: str) -> None:
    assert local_address(Settings(host=host)) == address


@pytest.mark.parametrize(
    "public_url, address",
    [
        (None, "http://127.0.0.1:5000/links/KEY"),
        ("https://example.org/jobs/", "https://example.org/jobs/links/KEY"),
    ],
)
def test_a_link_has_the_address_that_people_use(public_url: str | None, address: str) -> None:
    assert link_address(Settings(public_url=public_url), "KEY") == address


@pytest.mark.parametrize(
    "url, expected",
    [
        ("http://127.0.0.1:5000", True),
        ("HTTP://localhost/jobs", True),
        ("http://[::1]:8080", True),
        ("https://127.0.0.1:5000", False),
        ("http://jobs.example.org", False),
        ("http://localhost.example.org", False),
        ("http://192.0.2.1", False),
        (None, False),
    ],
)
def test_an_address_that_only_this_machine_reaches(url: str | None, expected: bool) -> None:
    assert is_local_http(url) is expected
