"""/me: who the caller is, and what it may do."""

from collections.abc import Callable

import pytest

from tests.web.conftest import Api

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


def test_a_caller_learns_its_rights_in_words(api_of: Callable[..., Api]) -> None:
    me = api_of("operator", name="ann", scopes=("read",), tags=("b", "a")).get("/me").json

    assert me == {
        "name": "ann",
        "account": "ann",
        "token": "ann",
        "role": "operator",
        "grants": [],
        "scopes": ["read"],
        "tags": ["a", "b"],
        "timezone": "UTC",
        "may": ["see who it is", "read jobs, runs and logs", "see channels"],
    }
