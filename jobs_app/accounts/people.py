"""People and service accounts: created, changed, disabled and removed, each with its audit."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from sqlalchemy import delete, func, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from jobs_app.accounts import audit, sessions
from jobs_app.core.errors import Conflict, FieldError, NotFound, StaleVersion, refuse
from jobs_app.core.roles import AccountKind, Grant, Role
from jobs_app.core.text import did_you_mean
from jobs_app.db.bulk_sql import rowcount
from jobs_app.db.models.accounts import Link, Person, Token

#: The service account of the token in the file `admin-token`. It cannot lose its rights.
ADMIN = "admin"

NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9 ._@+-]{0,62}[A-Za-z0-9])?")
NAME_RULE = "1 to 64 letters, digits, spaces, '.', '_', '@', '+' or '-'"

#: Names that the audit has for those who have no account.
RESERVED = frozenset({"jobs-app", "demo"})

TAG = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,48}[a-z0-9])?")


@dataclass(frozen=True, slots=True)
class Rights:
    """The rights of an account; `tags` limit it to jobs with one of them, None: all jobs."""

    role: Role
    grants: tuple[Grant, ...] = ()
    tags: tuple[str, ...] | None = None

    @classmethod
    def of(cls, person: Person) -> "Rights":
        """Return the rights in the row of *person*."""
        grants = tuple(Grant(name) for name in person.grants)
        return cls(person.role, grants, None if person.tags is None else tuple(person.tags))

    def changed(self, values: Mapping[str, Any]) -> "Rights":
        """Return the rights with *values*; those that the new role cannot have are dropped."""
        after = replace(self, **values)
        if "grants" not in values and after.role is not Role.EDITOR:
            after = replace(after, grants=())
        if "tags" not in values and after.role is Role.ADMIN:
            after = replace(after, tags=None)
        return after

    def columns(self) -> dict[str, Any]:
        """Return the rights as the columns of a row, and as JSON."""
        tags = None if self.tags is None else sorted({*self.tags})
        return {"role": self.role, "grants": sorted({*self.grants}), "tags": tags}


@dataclass(frozen=True, slots=True)
class Change:
    """Columns of an account that change together, and the event of the audit that says so."""

    action: str
    values: Mapping[str, Any]
    detail: Mapping[str, Any] = field(default_factory=dict)


def check(rights: Rights) -> None:
    """Raise InvalidInput for rights that no account can have."""
    errors = list(tag_errors(rights.tags or ()))
    if rights.grants and rights.role is not Role.EDITOR:
        sentence = f"Grants are for editors, not for the role {rights.role}."
        errors.append(FieldError("/grants", "not_an_editor", sentence))
    if rights.tags is not None and rights.role is Role.ADMIN:
        sentence = "An admin cannot be limited to tags: an admin may change the limit."
        errors.append(FieldError("/tags", "admin_with_tags", sentence))
    if rights.tags == ():
        sentence = "Without a tag the account would see no job: name one, or send null for all."
        errors.append(FieldError("/tags", "no_tag", sentence))
    refuse(errors)


def tag_errors(tags: Iterable[str]) -> Iterable[FieldError]:
    """Yield an error for each of *tags* that no job can have."""
    for index, tag in enumerate(tags):
        if not TAG.fullmatch(tag):
            sentence = f"The tag {tag[:60]!r} must be lower-case letters, digits, '.', '_' or '-'."
            yield FieldError(f"/tags/{index}", "invalid_tag", sentence)


def create(
    session: Session,
    name: str,
    kind: AccountKind,
    rights: Rights,
    *,
    password_hash: str | None = None,
    by: str,
    at: datetime,
) -> Person:
    """Store a new account and return it. Raises InvalidInput, Conflict (`person_exists`)."""
    _check_name(name)
    check(rights)
    columns = rights.columns() | {"password_hash": password_hash}
    person = Person(name=name, kind=kind, version=1, created_at=at, **columns)
    session.add(person)
    try:
        session.flush()
    except IntegrityError as error:
        session.rollback()
        raise _taken(session, name) from error
    after = rights.columns()
    audit.note(session, "create_person", by=by, at=at, person=name, kind=kind, after=after)
    session.commit()
    return person


def change(
    session: Session,
    name: str,
    values: Mapping[str, Any],
    *,
    is_disabled: bool | None = None,
    version: int | None = None,
    by: str,
    at: datetime,
) -> Person:
    """Change role, grants or tags of an account, if its version is *version* (None: any).

    With *is_disabled* it is also disabled, or enabled again; its tokens work only while it is
    enabled. All that changes is written at once, or nothing. Raises NotFound, InvalidInput,
    StaleVersion, Conflict (`admin_account`).
    """
    while True:
        person = _expected(session, name, version)
        changes = [*_changed_rights(person, values), *_changed_state(person, is_disabled, at=at)]
        if not changes:
            session.commit()
            return person
        is_of_rights = changes[0].action == "change_person"
        _keep_admin(session, person, "keeps its rights" if is_of_rights else "cannot be disabled")
        if _write(session, person, *changes, by=by, at=at):
            return get(session, name)


def _changed_rights(person: Person, values: Mapping[str, Any]) -> Iterator[Change]:
    before = Rights.of(person)
    after = before.changed(values)
    check(after)
    if after.columns() != before.columns():
        detail = {"before": before.columns(), "after": after.columns()}
        yield Change("change_person", after.columns(), detail)


def _changed_state(person: Person, is_disabled: bool | None, *, at: datetime) -> Iterator[Change]:
    if is_disabled not in {None, person.disabled_at is not None}:
        action = "disable_person" if is_disabled else "enable_person"
        yield Change(action, {"disabled_at": at if is_disabled else None})


def set_disabled(
    session: Session,
    name: str,
    is_disabled: bool,
    *,
    version: int | None = None,
    by: str,
    at: datetime,
) -> Person:
    """Disable an account, or enable it again, as `change` does; raises the same."""
    return change(session, name, {}, is_disabled=is_disabled, version=version, by=by, at=at)


def set_password(
    session: Session, name: str, password_hash: str, *, by: str, at: datetime
) -> Person:
    """Give a person a new password, and end the links that could set another one.

    Raises NotFound, Conflict (`service_account`).
    """
    while True:
        person = get(session, name)
        if person.kind is not AccountKind.PERSON:
            session.rollback()
            sentence = f"{name!r} is a service account: it has only tokens."
            raise Conflict(sentence, code="service_account")
        session.execute(delete(Link).where(Link.person_id == person.id, Link.used_at.is_(None)))
        values = {"password_hash": password_hash}
        if _write(session, person, Change("change_password", values), by=by, at=at):
            return get(session, name)


def has_person(session: Session) -> bool:
    """Tell whether there is a person; service accounts do not count."""
    statement = select(Person.id).where(Person.kind == AccountKind.PERSON, _IS_THERE).limit(1)
    return session.scalars(statement).first() is not None


def remove(
    session: Session, name: str, *, version: int | None = None, by: str, at: datetime
) -> None:
    """Remove an account and revoke its tokens; its name is free again, its history stays.

    Raises NotFound, StaleVersion, Conflict (`admin_account`).
    """
    while True:
        person = _expected(session, name, version)
        _keep_admin(session, person, "cannot be removed")
        revoked = update(Token).where(Token.owner_id == person.id, Token.revoked_at.is_(None))
        session.execute(revoked.values(revoked_at=at))
        if _write(session, person, Change("remove_person", {"removed_at": at}), by=by, at=at):
            return


def get(session: Session, name: str) -> Person:
    """Return the account called *name*; raises NotFound with the nearest name."""
    person = find(session, name)
    if person is None:
        hint = did_you_mean(name, session.scalars(select(Person.name).where(_IS_THERE).limit(1000)))
        raise NotFound(f"There is no account {name!r}.{hint}", code="person_not_found")
    return person


def find(session: Session, name: str) -> Person | None:
    """Return the account called *name*, None if there is none."""
    if not NAME.fullmatch(name):
        # A database does not take each text to compare with.
        return None
    fresh = select(Person).where(Person.name == name, _IS_THERE)
    return session.scalars(fresh.execution_options(populate_existing=True)).one_or_none()


def page(session: Session, *, after: str | None, limit: int) -> list[Person]:
    """Return accounts by name, those later than the name *after*."""
    statement = select(Person).where(_IS_THERE).order_by(Person.name).limit(limit)
    if after is not None:
        statement = statement.where(Person.name > after)
    return list(session.scalars(statement))


def service_account(session: Session, name: str, *, by: str, at: datetime) -> Person:
    """Return the service account called *name*, made with the role `admin` if there is none.

    Raises Conflict (`not_a_service_account`) if a person has that name, InvalidInput.
    """
    person = find(session, name)
    if person is None:
        person = create(session, name, AccountKind.SERVICE, Rights(Role.ADMIN), by=by, at=at)
    if person.kind is not AccountKind.SERVICE:
        sentence = f"{name!r} is a person: name the owner of the token."
        raise Conflict(sentence, code="not_a_service_account")
    return person


_IS_THERE = Person.removed_at.is_(None)


def _check_name(name: str) -> None:
    if not NAME.fullmatch(name):
        detail = f"The name {name[:60]!r} must be {NAME_RULE}, with a letter or digit at both ends."
        refuse([FieldError("/name", "invalid_name", detail)])
    if name.lower() in RESERVED:
        detail = f"The name {name!r} is that of jobs-app itself in the audit."
        refuse([FieldError("/name", "reserved_name", detail)])


def _taken(session: Session, name: str) -> Conflict:
    """Return the error for a name that differs from another in nothing, or in case only."""
    same = select(Person.name).where(func.lower(Person.name) == name.lower(), _IS_THERE)
    other = session.scalars(same).first() or name
    taken = FieldError("/name", "person_exists", f"There is an account {other!r} already.")
    return Conflict(taken.detail, code="person_exists", errors=[taken])


def _expected(session: Session, name: str, version: int | None) -> Person:
    person = get(session, name)
    present = person.version
    if version is not None and present != version:
        session.rollback()
        raise StaleVersion(f"The account is at version {present}, not {version}: read it again.")
    return person


def _keep_admin(session: Session, person: Person, sentence: str) -> None:
    """Raise Conflict for the account that must keep its rights: else nobody may be left."""
    if person.name == ADMIN:
        session.rollback()
        raise Conflict(
            f"{ADMIN!r} is the account of the file admin-token, and {sentence}.",
            code="admin_account",
        )


def _write(session: Session, person: Person, *changes: Change, by: str, at: datetime) -> bool:
    """Write *changes* with an event of the audit for each; False if somebody else was first.

    All sessions of the account end: a page that is open loses its rights at the next request.
    """
    name, number = person.name, person.version
    guard = (Person.id == person.id, Person.version == number, _IS_THERE)
    values = dict(pair for change in changes for pair in change.values.items())
    changed = update(Person).where(*guard).values(**values, version=number + 1)
    if not rowcount(session.execute(changed)):
        session.rollback()
        return False
    sessions.end_all(session, person.id, at=at)
    for written in changes:
        audit.note(session, written.action, by=by, at=at, person=name, **written.detail)
    session.commit()
    return True
