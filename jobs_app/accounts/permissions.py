"""The table of permissions: which role, grant and scope each action needs. Pure, no IO."""

from dataclasses import dataclass
from enum import StrEnum

from jobs_app.accounts.principal import Principal
from jobs_app.core.roles import Grant, Role, Scope


class Action(StrEnum):
    """What a caller may want to do; the value completes "may not …"."""

    IDENTIFY = "see who it is"
    READ = "read jobs, runs and logs"
    READ_METRICS = "read the metrics"
    SEE_ARGUMENTS = "see the arguments of jobs"
    START = "start jobs"
    CONTROL = "cancel, retry, pause or resume"
    START_WITH_ARGUMENTS = "start jobs with other arguments or another overlap policy"
    RUN_TASK = "run a task without a job"
    WRITE_JOBS = "change jobs"
    WRITE_COMMANDS = "change or start as it likes what runs commands"
    RUN_AS_ROOT = "have commands run as root"
    SEE_SECRETS = "see the names of secrets or refer to them"
    WRITE_SECRETS = "change secrets"
    SEE_CHANNELS = "see channels"
    TEST_CHANNELS = "test channels"
    WRITE_CHANNELS = "change channels"
    PURGE = "delete the history of a job"
    OWN_TOKENS = "make, list or revoke its tokens"
    OWN_SESSIONS = "see or end its sessions"
    MANAGE_PEOPLE = "manage people and their tokens"
    DIAGNOSE = "look for what is wrong with the installation"


@dataclass(frozen=True, slots=True)
class Permission:
    """The needs of an action: the least role, a grant unless the role is admin, and a scope.

    `for_all_jobs` refuses callers who are limited to tags: it concerns more than their jobs.
    """

    role: Role
    scope: Scope | None
    grant: Grant | None = None
    for_all_jobs: bool = False


PERMISSIONS: dict[Action, Permission] = {
    Action.IDENTIFY: Permission(Role.VIEWER, None),
    Action.READ: Permission(Role.VIEWER, Scope.READ),
    Action.READ_METRICS: Permission(Role.VIEWER, Scope.READ, for_all_jobs=True),
    Action.SEE_ARGUMENTS: Permission(Role.EDITOR, Scope.WRITE),
    Action.START: Permission(Role.OPERATOR, Scope.RUN),
    Action.CONTROL: Permission(Role.OPERATOR, Scope.RUN),
    Action.START_WITH_ARGUMENTS: Permission(Role.EDITOR, Scope.WRITE),
    Action.RUN_TASK: Permission(Role.EDITOR, Scope.WRITE, for_all_jobs=True),
    Action.WRITE_JOBS: Permission(Role.EDITOR, Scope.WRITE),
    Action.WRITE_COMMANDS: Permission(Role.EDITOR, Scope.WRITE, Grant.COMMANDS),
    Action.RUN_AS_ROOT: Permission(Role.ADMIN, Scope.ADMIN),
    Action.SEE_SECRETS: Permission(Role.EDITOR, Scope.WRITE),
    Action.WRITE_SECRETS: Permission(Role.EDITOR, Scope.ADMIN, Grant.SECRETS),
    Action.SEE_CHANNELS: Permission(Role.VIEWER, Scope.READ),
    Action.TEST_CHANNELS: Permission(Role.EDITOR, Scope.WRITE, for_all_jobs=True),
    Action.WRITE_CHANNELS: Permission(Role.ADMIN, Scope.ADMIN, for_all_jobs=True),
    Action.PURGE: Permission(Role.ADMIN, Scope.ADMIN),
    Action.OWN_TOKENS: Permission(Role.VIEWER, Scope.ADMIN),
    Action.OWN_SESSIONS: Permission(Role.VIEWER, Scope.ADMIN),
    Action.MANAGE_PEOPLE: Permission(Role.ADMIN, Scope.ADMIN, for_all_jobs=True),
    Action.DIAGNOSE: Permission(Role.ADMIN, Scope.ADMIN, for_all_jobs=True),
}


def allows(principal: Principal, action: Action) -> bool:
    """Tell whether *principal* may do *action*."""
    return refusal(principal, action) is None


def refusal(principal: Principal, action: Action) -> str | None:
    """Return why *principal* may not do *action*, and who may; None if it may."""
    permission = PERMISSIONS[action]
    who = f"{principal.account} ({principal.role})"
    if not _has_role(principal, permission):
        return f"{who} may not {action}. {_who_may(permission)} can."
    if permission.scope is not None and permission.scope not in principal.scopes:
        scopes = ", ".join(scope for scope in Scope if scope in principal.scopes) or "none"
        return (
            f"{who} may not {action} with the token {principal.token_name!r}: it has the scopes"
            f" {scopes}. A token with the scope {permission.scope} can."
        )
    if permission.for_all_jobs and principal.tags is not None:
        return (
            f"{who} is limited to the jobs of some tags, and may not {action}."
            f" {_who_may(permission)} without that limit can."
        )
    return None


def allowed_actions(principal: Principal) -> list[Action]:
    """Return all that *principal* may do, in the order of the table."""
    return [action for action in Action if allows(principal, action)]


def _has_role(principal: Principal, permission: Permission) -> bool:
    if not principal.role.includes(permission.role):
        return False
    is_granted = permission.grant is None or permission.grant in principal.grants
    return is_granted or principal.role is Role.ADMIN


def _who_may(permission: Permission) -> str:
    article = "An" if permission.role is not Role.VIEWER else "A"
    if permission.grant is None:
        return f"{article} {permission.role}"
    return f"{article} {permission.role} with the grant {permission.grant}, or an admin,"
