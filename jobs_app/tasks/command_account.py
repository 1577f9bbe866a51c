"""The account that a command runs as: who is allowed, and what the machine knows of it."""

import os
import pwd
from dataclasses import dataclass

from jobs_app.core.settings import Settings
from jobs_app.tasks.context import CommandFailed

ROOT = "root"


@dataclass(frozen=True, slots=True)
class Account:
    """An account of this machine, with all its groups."""

    name: str
    uid: int
    gid: int
    groups: tuple[int, ...]
    home: str

    def numbers(self) -> dict[str, object]:
        """Return what a process needs to change to it, as JSON."""
        names = ("name", "uid", "gid", "groups")
        return {name: getattr(self, name) for name in names}


def account_fault(user: str | None, settings: Settings) -> str:
    """Return why no job may name the account *user*, as a sentence; "" if one may."""
    allowed = settings.shell_accounts
    if user is None or user in allowed:
        return ""
    names = f"allows: {', '.join(allowed)}" if allowed else "allows: it is empty"
    return f"The account {user[:100]!r} is none that JOBS_SHELL_USERS {names}."


def account_warning(user: str | None) -> str:
    """Return what may keep a worker from running a command as *user*; "" if nothing is known.

    The workers may be on other machines than this process.
    """
    if user is None or is_own_account(user):
        return ""
    if _entry(user) is None:
        return f"This machine has no account {user!r}: runs fail on a worker that has none, either."
    if os.geteuid() != 0:
        return f"Runs as {user} need a worker that runs as root; this server does not."
    return ""


def is_root(user: object) -> bool:
    """Tell whether *user* is an account with the rights of root, by whatever name."""
    if not isinstance(user, str):
        return False
    entry = _entry(user)
    return user == ROOT or (entry is not None and entry.pw_uid == 0)


def is_own_account(user: str) -> bool:
    """Tell whether this process runs as *user*."""
    entry = _entry(user)
    return entry is not None and entry.pw_uid == os.geteuid()


def account_for(user: str | None, settings: Settings) -> Account | None:
    """Return the account of a command whose job names *user*; None for that of this process.

    Without *user* it is JOBS_SHELL_DEFAULT_USER. Raises CommandFailed if the setting does not
    allow it, if this machine does not have it, or if this process may not change to it.
    """
    if fault := account_fault(user, settings):
        raise CommandFailed(fault)
    name = user or settings.shell_default_user
    if name is None:
        return None
    account, fault = changeable(name)
    if fault:
        raise CommandFailed(fault)
    return account


def changeable(name: str) -> tuple[Account | None, str]:
    """Return the account to change to (None: there is no need), or why that cannot be done."""
    entry = _entry(name)
    if entry is None:
        return None, f"The machine of this worker has no account {name!r}."
    if entry.pw_uid == os.geteuid():
        return None, ""
    if os.geteuid() != 0:
        return None, (
            f"This worker runs as {own_name()}: only one that runs as root can run a command"
            f" as {name}."
        )
    groups = tuple(os.getgrouplist(name, entry.pw_gid))
    return Account(name, entry.pw_uid, entry.pw_gid, groups, entry.pw_dir), ""


def own_name() -> str:
    """Return the name of the account of this process, or its number."""
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        # In a container, the user id may be missing in the passwd file.
        return str(os.geteuid())


def root_warning(settings: Settings) -> str:
    """Return a warning if commands of jobs run as root without having asked for it, or ""."""
    if os.geteuid() != 0 or settings.shell_default_user is not None:
        return ""
    return "this runs as root, and so do commands without `user`: set JOBS_SHELL_DEFAULT_USER"


def _entry(name: str) -> pwd.struct_passwd | None:
    try:
        return pwd.getpwnam(name)
    except (KeyError, ValueError, UnicodeError):
        return None
