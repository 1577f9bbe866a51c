"""The words of accounts: kinds of accounts and links, roles, grants and scopes of tokens."""

from enum import StrEnum


class AccountKind(StrEnum):
    """A service account has no password, only tokens."""

    PERSON = "person"
    SERVICE = "service"


class Role(StrEnum):
    """What an account may do; each role may do all that the one before it may."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    EDITOR = "editor"
    ADMIN = "admin"

    def includes(self, other: "Role") -> bool:
        """Tell whether this role may do all that *other* may."""
        order = list(Role)
        return order.index(self) >= order.index(other)


class Grant(StrEnum):
    """A right that an admin gives to an editor; an admin has them all."""

    COMMANDS = "commands"  # jobs whose task runs commands
    SECRETS = "secrets"  # store, change and delete secrets


class Scope(StrEnum):
    """A part of its owner's rights that a token may use; no scope includes another."""

    READ = "read"
    RUN = "run"
    WRITE = "write"
    ADMIN = "admin"


class LinkKind(StrEnum):
    """What somebody who opens a link of ours may do, once."""

    WELCOME = "welcome"  # become the first admin
    INVITATION = "invitation"  # choose the first password of an account
    PASSWORD = "password"  # noqa: S105  # choose a new password; no secret
