"""The caller of a request, with the rights that it has at this moment."""

from collections.abc import Collection
from dataclasses import dataclass

from jobs_app.core.roles import Grant, Role, Scope
from jobs_app.db.models.accounts import PageSession, Person, Token

ALL_SCOPES = frozenset(Scope)


@dataclass(frozen=True, slots=True)
class Principal:
    """Who acts: an account, and the token or the session that it uses.

    `id` tells callers apart for repeated requests. `name` is the actor in the audit. `tags`
    limit the caller to jobs with one of them; None: all jobs.
    """

    id: str
    name: str
    account: str
    role: Role
    grants: frozenset[Grant] = frozenset()
    scopes: frozenset[Scope] = ALL_SCOPES
    tags: frozenset[str] | None = None
    person_id: int | None = None
    token_id: int | None = None
    token_name: str | None = None

    @property
    def is_unlimited(self) -> bool:
        """Whether the caller may do everything."""
        return self.role is Role.ADMIN and self.scopes == ALL_SCOPES and self.tags is None

    def rights(self) -> list[object]:
        """Return the rights as JSON, to compare them with later ones."""
        tags = None if self.tags is None else sorted(self.tags)
        return [self.role, sorted(self.grants), sorted(self.scopes), tags]


def of_token(token: Token, owner: Person) -> Principal:
    """Return the caller with *token*: its rights are never more than those of *owner* now."""
    is_own = token.name == owner.name
    return Principal(
        id=f"token:{token.id}",
        name=owner.name if is_own else f"{owner.name}/{token.name}",
        account=owner.name,
        role=owner.role,
        grants=frozenset(Grant(name) for name in owner.grants),
        scopes=ALL_SCOPES if token.scopes is None else frozenset(map(Scope, token.scopes)),
        tags=common_tags(owner.tags, token.tags),
        person_id=owner.id,
        token_id=token.id,
        token_name=token.name,
    )


def of_session(row: PageSession, person: Person) -> Principal:
    """Return the caller with this session: it has all rights of *person* now."""
    return Principal(
        id=f"session:{row.id}",
        name=person.name,
        account=person.name,
        role=person.role,
        grants=frozenset(Grant(name) for name in person.grants),
        tags=None if person.tags is None else frozenset(person.tags),
        person_id=person.id,
    )


def common_tags(
    first: Collection[str] | None, second: Collection[str] | None
) -> frozenset[str] | None:
    """Return the tags in both limits; None is no limit, and an empty set allows no job."""
    if first is None or second is None:
        tags = second if first is None else first
        return None if tags is None else frozenset(tags)
    return frozenset(first) & frozenset(second)
