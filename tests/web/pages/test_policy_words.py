"""Policies in words."""

from jobs_app.core.states import CatchupPolicy, OverlapPolicy
from jobs_app.web.pages.policy_words import CATCHUP, OVERLAP


def test_every_policy_has_its_words() -> None:
    assert OVERLAP.keys() == set(OverlapPolicy)
    assert CATCHUP.keys() == set(CatchupPolicy)
