"""`whoami`: what /me says."""

import json
from typing import Any

import pytest

from tests.cli.canned import Canned, CannedServer
from tests.cli.conftest import Run

ME = {
    "name": "ann/ci",
    "account": "ann",
    "token": "ci",
    "role": "operator",
    "grants": [],
    "scopes": ["read", "run"],
    "tags": None,
    "may": ["see who it is", "start jobs"],
}


@pytest.mark.parametrize(
    "facts, words",
    [
        ({}, "Account ann Role operator Token ci Scopes read, run Tags all jobs"),
        ({"grants": ["commands"], "tags": ["a", "b"]}, "Grants commands Token ci"),
        ({"tags": ["a", "b"]}, "Tags a, b May see who it is start jobs"),
        ({"scopes": [], "tags": []}, "Scopes none Tags no job"),
    ],
)
def test_it_says_who_one_is_and_what_one_may_do(
    server: CannedServer, run: Run, facts: dict[str, Any], words: str
) -> None:
    server.on("GET", "/me", Canned(ME | facts))

    assert words in " ".join(run("whoami").stdout.split())
    assert json.loads(run("whoami", "--json").stdout) == ME | facts
