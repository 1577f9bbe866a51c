"""The table of permissions: which role, grant and scope each action needs."""

import pytest

from jobs_app.accounts.permissions import PERMISSIONS, Action, allowed_actions, allows, refusal
from jobs_app.accounts.principal import Principal
from jobs_app.core.roles import Grant, Role, Scope

#: The least role, the grant, and the scope of each action; the star: not when limited to tags.
TABLE = """
IDENTIFY              viewer            -
READ                  viewer            read
READ_METRICS          viewer            read *
SEE_ARGUMENTS         editor            write
START                 operator          run
CONTROL               operator          run
START_WITH_ARGUMENTS  editor            write
RUN_TASK              editor            write *
WRITE_JOBS            editor            write
WRITE_COMMANDS        editor+commands   write
RUN_AS_ROOT           admin             admin
SEE_SECRETS           editor            write
WRITE_SECRETS         editor+secrets    admin
SEE_CHANNELS          viewer            read
TEST_CHANNELS         editor            write *
WRITE_CHANNELS        admin             admin *
PURGE                 admin             admin
OWN_TOKENS            viewer            admin
OWN_SESSIONS          viewer            admin
MANAGE_PEOPLE         admin             admin *
DIAGNOSE              admin             admin *
"""
ROWS = [line.split() for line in TABLE.strip().splitlines()]


def caller(role: str, *scopes: str, grants: str = "", tags: str | None = None) -> Principal:
    return Principal(
        "token:1",
        "ci/deploy",
        "ci",
        Role(role),
        grants=frozenset(map(Grant, grants.split())),
        scopes=frozenset(map(Scope, scopes)),
        tags=None if tags is None else frozenset(tags.split()),
        token_name="deploy",
    )


def test_each_action_is_in_the_table() -> None:
    assert [Action[row[0]] for row in ROWS] == list(Action) == list(PERMISSIONS)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_an_action_needs_its_role_its_grant_and_its_scope(row: list[str]) -> None:
    action, (least, _, grant), scope = Action[row[0]], row[1].partition("+"), row[2]
    for role in Role:
        has_role = role.includes(Role(least))
        for granted in ("", "commands", "secrets", "commands secrets"):
            has_grant = not grant or grant in granted.split() or role is Role.ADMIN
            for own in Scope:
                has_scope = scope in ("-", own)
                principal = caller(role, own, grants=granted)
                expected = has_role and has_grant and has_scope
                assert allows(principal, action) is expected, (role, granted, own)
    limited = caller("admin", *Scope, tags="billing")
    assert allows(limited, action) is (len(row) < 4)


def test_a_refusal_says_who_may() -> None:
    assert refusal(caller("operator", *Scope), Action.WRITE_JOBS) == (
        "ci (operator) may not change jobs. An editor can."
    )
    assert refusal(caller("operator", *Scope), Action.MANAGE_PEOPLE) == (
        "ci (operator) may not manage people and their tokens. An admin can."
    )
    assert refusal(caller("editor", *Scope), Action.WRITE_SECRETS) == (
        "ci (editor) may not change secrets. An editor with the grant secrets, or an admin, can."
    )
    assert refusal(caller("editor", "read", "run"), Action.WRITE_JOBS) == (
        "ci (editor) may not change jobs with the token 'deploy': it has the scopes read, run."
        " A token with the scope write can."
    )
    assert refusal(caller("editor", *Scope, tags="a"), Action.RUN_TASK) == (
        "ci (editor) is limited to the jobs of some tags, and may not run a task without a job."
        " An editor without that limit can."
    )


def test_the_rights_of_a_viewer_in_words() -> None:
    assert list(map(str, allowed_actions(caller("viewer", "read")))) == [
        "see who it is",
        "read jobs, runs and logs",
        "read the metrics",
        "see channels",
    ]
