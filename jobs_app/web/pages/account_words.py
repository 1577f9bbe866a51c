"""Accounts in words: what roles and rights mean."""

from collections.abc import Collection

from jobs_app.accounts.browser_name import browser_name
from jobs_app.accounts.permissions import Action, allowed_actions
from jobs_app.accounts.principal import Principal
from jobs_app.core.roles import Grant, Role, Scope
from jobs_app.db.models.accounts import Person

ROLES = {
    Role.VIEWER: "sees jobs, runs and logs",
    Role.OPERATOR: "also starts, cancels, retries, pauses and resumes jobs",
    Role.EDITOR: "also creates, changes and deletes jobs, and sees their arguments",
    Role.ADMIN: "may do everything, and manages people",
}

GRANTS = {
    Grant.COMMANDS: "jobs that run commands",
    Grant.SECRETS: "store, change and delete secrets",
}

SCOPES = {
    Scope.READ: "see jobs, runs and logs",
    Scope.RUN: "start, cancel, pause",
    Scope.WRITE: "change jobs",
    Scope.ADMIN: "secrets, people, tokens",
}

#: What browser it is, and on what.
browser = browser_name


def limit(tags: Collection[str] | None) -> str:
    """Return what jobs an account or a token is limited to; "all jobs" without a limit."""
    return "all jobs" if tags is None else f"jobs with {' or '.join(sorted(tags))}"


def scopes(names: Collection[str] | None) -> str:
    """Return the scopes of a token in their order."""
    known = [scope for scope in Scope if names is None or scope in names]
    return "all" if len(known) == len(Scope) else ", ".join(known)


def allowed(person: Person) -> list[Action]:
    """Return what *person* may do in a browser, in the order of the table of permissions."""
    principal = Principal(
        id="",
        name=person.name,
        account=person.name,
        role=person.role,
        grants=frozenset(map(Grant, person.grants)),
        tags=None if person.tags is None else frozenset(person.tags),
    )
    return [action for action in allowed_actions(principal) if action is not Action.IDENTIFY]


def signs_in_by(person: Person) -> str:
    """Return how *person* signs in."""
    if person.kind == "service":
        return "tokens only"
    return "password" if person.has_password else "no password yet"
