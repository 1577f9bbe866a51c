"""What passes for an address of ours: a link must not lead a person to another site."""

import pytest
from flask import Flask

from jobs_app.web.local_address import current_address, local_address


@pytest.mark.parametrize(
    "text",
    [
        *("", "jobs", "//evil.test", "///evil.test", "https://evil.test", "javascript:alert(1)"),
        *("/\\evil.test", "\\\\evil.test", "/jobs\\..", "/\tevil.test", "/\n/evil.test", "/\x00"),
        *(
            "/%2F/evil.test",
            "/%2fevil.test",
            "/%5Cevil.test",
            "/%09/evil.test",
            "/%0d%0aSet-Cookie:a",
        ),
        *("/\u202eevil", "/a" * 2000, " /jobs", "http:/evil.test", "//[evil"),
    ],
)
def test_an_address_that_leads_elsewhere_becomes_the_first_page(text: str) -> None:
    assert local_address(text) == "/"


@pytest.mark.parametrize("text", ["/", "/jobs?q=a%20b&tag=x", "/jobs/caf%C3%A9", "/runs/1#L10"])
def test_an_address_of_ours_is_kept(text: str) -> None:
    assert local_address(text) == text


@pytest.mark.parametrize("path", ["/jobs", "/jobs/a%20b%3F?q=%C3%A9&x=1", "/jobs/caf%C3%A9"])
def test_the_address_of_a_request_passes(path: str) -> None:
    with Flask("test").test_request_context(path):
        assert local_address(current_address()) == path
