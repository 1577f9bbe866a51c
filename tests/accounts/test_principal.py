"""A token is never worth more than its owner at this moment."""

import pytest

from jobs_app.accounts.principal import common_tags, of_token
from jobs_app.core.roles import AccountKind, Grant, Role, Scope
from jobs_app.db.models.accounts import Person, Token


def a_token(name: str = "laptop", **limits: list[str]) -> Token:
    return Token(id=7, name=name, **limits)


def ann(**rights: object) -> Person:
    return Person(
        **{"id": 3, "name": "ann", "kind": AccountKind.PERSON, "role": "viewer", "grants": []}
        | rights
    )


def test_a_caller_has_the_role_of_its_owner_and_the_scopes_of_its_token() -> None:
    owner = ann(role=Role.EDITOR, grants=["secrets"])

    caller = of_token(a_token(scopes=["read", "run"]), owner)

    assert caller.role is Role.EDITOR
    assert caller.grants == {Grant.SECRETS}
    assert caller.scopes == {Scope.READ, Scope.RUN}
    assert (caller.person_id, caller.token_id, caller.id) == (3, 7, "token:7")
    assert of_token(a_token(), owner).scopes == set(Scope)


@pytest.mark.parametrize("token, name", [("laptop", "ann/laptop"), ("ann", "ann")])
def test_the_audit_names_the_owner_and_its_token(token: str, name: str) -> None:
    assert of_token(a_token(token), ann()).name == name


@pytest.mark.parametrize(
    "of_owner, of_token, both",
    [
        (None, None, None),
        (None, ["a"], {"a"}),
        (["a", "b"], None, {"a", "b"}),
        (["a", "b"], ["b", "c"], {"b"}),
        (["a"], ["c"], set()),
    ],
)
def test_a_caller_has_only_the_tags_that_owner_and_token_have(
    of_owner: list[str] | None, of_token: list[str] | None, both: set[str] | None
) -> None:
    assert common_tags(of_owner, of_token) == both


def test_only_an_admin_with_all_scopes_and_no_tags_is_unlimited() -> None:
    admin = ann(role=Role.ADMIN)

    assert of_token(a_token(), admin).is_unlimited
    assert not of_token(a_token(scopes=["admin"]), admin).is_unlimited
    assert not of_token(a_token(tags=["a"]), admin).is_unlimited
    assert not of_token(a_token(), ann(role=Role.EDITOR)).is_unlimited
