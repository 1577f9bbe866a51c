"""Accounts: names that are unique, rights that fit the role, an audit of each change."""

from typing import Any

import pytest

from jobs_app.accounts import audit, people, tokens
from jobs_app.accounts.people import Rights
from jobs_app.core.errors import Conflict, InvalidInput, NotFound, StaleVersion
from jobs_app.core.roles import AccountKind, Grant, Role
from jobs_app.db.engine import Database
from jobs_app.db.models.accounts import Person
from tests.factories import NOON, SECOND

EDITOR = Rights(Role.EDITOR, (Grant.COMMANDS,), ("billing",))


def add(database: Database, name: str = "ann", rights: Rights = EDITOR) -> Person:
    with database.session() as session:
        return people.create(session, name, AccountKind.PERSON, rights, by="root", at=NOON)


def change(database: Database, name: str, values: dict[str, Any], **more: Any) -> Person:
    with database.session() as session:
        return people.change(session, name, values, by="root", at=NOON, **more)


def events(database: Database) -> list[tuple[str, dict[str, Any]]]:
    """Return action and detail of all events, the oldest first."""
    with database.reading() as session:
        page = audit.page(session, audit.EventFilter(), before=None, limit=99)
    return [(event.action, event.detail) for event in reversed(page)]


def test_an_account_is_stored_with_its_rights_and_its_audit(database: Database) -> None:
    add(database)

    with database.reading() as session:
        assert Rights.of(people.get(session, "ann")) == EDITOR
    assert events(database) == [
        (
            "create_person",
            {
                "person": "ann",
                "kind": "person",
                "after": {"role": "editor", "grants": ["commands"], "tags": ["billing"]},
            },
        )
    ]


@pytest.mark.parametrize("name", ["", "a/b", " ann", "ann\n", "é", "x" * 65, "demo", "Jobs-App"])
def test_a_name_that_the_audit_could_mistake_is_refused(database: Database, name: str) -> None:
    with pytest.raises(InvalidInput):
        add(database, name)


def test_names_of_accounts_differ_in_more_than_case(database: Database) -> None:
    add(database, "deploy")

    with pytest.raises(Conflict, match="'deploy' already"):
        add(database, "Deploy")
    with database.session() as session, pytest.raises(Conflict, match="'deploy' already"):
        # Without an owner it would be an admin's, in place of that of the account with few rights.
        tokens.create(session, "Deploy", at=NOON)
    with database.session() as session:
        people.remove(session, "deploy", by="root", at=NOON)
    assert add(database, "Deploy").name == "Deploy"


@pytest.mark.parametrize(
    "rights, code",
    [
        (Rights(Role.VIEWER, (Grant.SECRETS,)), "not_an_editor"),
        (Rights(Role.ADMIN, tags=("a",)), "admin_with_tags"),
        (Rights(Role.VIEWER, tags=()), "no_tag"),
        (Rights(Role.VIEWER, tags=('a"',)), "invalid_tag"),
    ],
)
def test_rights_that_no_account_can_have_are_refused(
    database: Database, rights: Rights, code: str
) -> None:
    with pytest.raises(InvalidInput) as raised:
        add(database, rights=rights)

    assert [error.code for error in raised.value.errors] == [code]


def test_a_name_is_free_again_when_its_account_is_removed(database: Database) -> None:
    add(database)
    with pytest.raises(Conflict, match="'ann'"):
        add(database)

    with database.session() as session:
        people.remove(session, "ann", by="root", at=NOON)

    assert add(database).role is Role.EDITOR


def test_a_new_role_drops_what_it_cannot_have(database: Database) -> None:
    add(database)

    assert change(database, "ann", {"role": Role.OPERATOR}).tags == ["billing"]
    admin = change(database, "ann", {"role": Role.ADMIN})

    assert (admin.grants, admin.tags, admin.version) == ([], None, 3)
    assert [detail["after"] for _, detail in events(database)[1:]] == [
        {"role": "operator", "grants": [], "tags": ["billing"]},
        {"role": "admin", "grants": [], "tags": None},
    ]


def test_a_change_of_another_version_is_refused_and_an_empty_one_is_none(
    database: Database,
) -> None:
    add(database)

    assert change(database, "ann", {"role": Role.EDITOR}).version == 1
    with pytest.raises(StaleVersion):
        change(database, "ann", {"role": Role.VIEWER}, version=2)
    with pytest.raises(NotFound, match="Did you mean 'ann'"):
        change(database, "anne", {"role": Role.VIEWER})


def test_a_write_after_somebody_elses_changes_nothing(database: Database) -> None:
    add(database)
    with database.session() as session:
        read_before = people.get(session, "ann")
    change(database, "ann", {"role": Role.VIEWER})

    with database.session() as session:
        late = people.Change("change_person", {"role": "admin"})
        written = people._write(session, read_before, late, by="root", at=NOON)
        assert not written
        assert people.get(session, "ann").role is Role.VIEWER
    assert [action for action, _ in events(database)] == ["create_person", "change_person"]


def test_the_tokens_of_a_disabled_or_removed_account_do_not_work(database: Database) -> None:
    owner = add(database)
    with database.session() as session:
        token = tokens.create(session, "laptop", at=NOON, owner=owner)
        assert tokens.find(session, token, at=NOON) is not None

        people.set_disabled(session, "ann", True, by="root", at=NOON)
        assert tokens.refusal(*tokens.known(session, token), at=NOON) == "owner_disabled"
        people.set_disabled(session, "ann", False, by="root", at=NOON)
        assert tokens.find(session, token, at=NOON + SECOND) is not None

        people.remove(session, "ann", by="root", at=NOON)
        assert tokens.find(session, token, at=NOON) is None
    actions = [action for action, _ in events(database)]
    assert actions[-3:] == ["disable_person", "enable_person", "remove_person"]


def test_the_account_of_the_file_admin_token_cannot_lose_its_rights(database: Database) -> None:
    with database.session() as session:
        people.service_account(session, people.ADMIN, by="root", at=NOON)
        for attempt in (
            lambda: people.set_disabled(session, people.ADMIN, True, by="ann", at=NOON),
            lambda: people.remove(session, people.ADMIN, by="ann", at=NOON),
            lambda: people.change(session, "admin", {"role": Role.VIEWER}, by="ann", at=NOON),
        ):
            with pytest.raises(Conflict, match="admin-token"):
                attempt()
        assert people.get(session, people.ADMIN).role is Role.ADMIN


def test_a_service_account_is_made_once_and_never_out_of_a_person(database: Database) -> None:
    add(database)
    with database.session() as session:
        first = people.service_account(session, "ci", by="root", at=NOON)
        assert people.service_account(session, "ci", by="root", at=NOON).id == first.id
        assert (first.kind, first.role) == (AccountKind.SERVICE, Role.ADMIN)
        with pytest.raises(Conflict, match="is a person"):
            people.service_account(session, "ann", by="root", at=NOON)


@pytest.mark.parametrize("name", ["a\0b", "\ud800", "x" * 5000, ""])
def test_a_name_that_no_account_can_have_is_no_error_of_the_database(
    database: Database, name: str
) -> None:
    with database.session() as session:
        assert people.find(session, name) is None
        with pytest.raises(NotFound):
            people.get(session, name)
