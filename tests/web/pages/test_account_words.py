"""Accounts in words."""

from jobs_app.core.roles import Grant, Role, Scope
from jobs_app.web.pages import account_words


def test_each_role_grant_and_scope_has_its_words() -> None:
    assert {*account_words.ROLES} == {*Role}
    assert {*account_words.GRANTS} == {*Grant}
    assert {*account_words.SCOPES} == {*Scope}


def test_limits_and_scopes_are_said_in_words() -> None:
    assert account_words.limit(None) == "all jobs"
    assert account_words.limit(["b", "a"]) == "jobs with a or b"
    assert account_words.scopes(None) == account_words.scopes([*Scope]) == "all"
    assert account_words.scopes(["run", "read"]) == "read, run"
