"""Checks at the start that the account of commands reads no secret of ours and changes no code."""

import json
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from jobs_app.core.errors import ConfigurationError
from jobs_app.core.fork_server import plain_environment, spawn
from jobs_app.core.own_files import DATABASE_FILES, SECRET_FILES
from jobs_app.core.secret_files import SECRETS_DIRECTORIES
from jobs_app.core.settings import Settings
from jobs_app.core.text import listed
from jobs_app.tasks.command_account import Account, changeable

MAIN = "jobs_app.tasks.command_child:report_access"
SETTING = "JOBS_SHELL_DEFAULT_USER"


def check_default_account(settings: Settings) -> None:
    """Raise ConfigurationError unless commands can run as JOBS_SHELL_DEFAULT_USER, apart from us.

    What that account may do is tried as that account, so that each rule of the machine counts.
    """
    name = settings.shell_default_user
    if name is None:
        return
    account, fault = changeable(name)
    if fault:
        raise ConfigurationError(f"{SETTING}: {fault}")
    if account is None:
        return
    secrets, code = list(_secrets(settings)), list(_code())
    if found := access(account, secrets, os.R_OK):
        raise ConfigurationError(
            f"{SETTING}: commands of {name} could read {listed(found)}. Close them to others: mode"
            " 0600, or a directory of mode 0700."
        )
    if found := access(account, [str(settings.data_dir), *code], os.W_OK):
        raise ConfigurationError(
            f"{SETTING}: commands of {name} could write {listed(found)}, and so change what runs"
            " here as root. Give it to root, and take that right from others."
        )


def _secrets(settings: Settings) -> Iterator[str]:
    for name in (*SECRET_FILES, *DATABASE_FILES):
        yield str(settings.data_dir / name)
    for directory in SECRETS_DIRECTORIES:
        yield from map(str, sorted(directory.glob("[jJ][oO][bB][sS]_*")))
    scheme, _, path = (settings.database_url or "").partition(":///")
    if scheme == "sqlite":
        yield path


def _code() -> Iterator[str]:
    """Yield the places that this process takes code from."""
    yield from dict.fromkeys([*filter(None, sys.path), str(Path(__file__).parents[1])])
    yield sys.executable


def access(account: Account, paths: Iterable[str], mode: int) -> list[str]:
    """Return those of *paths* that *account* may open with *mode*, os.R_OK or os.W_OK."""
    reading, writing = os.pipe()
    order = {"account": account.numbers(), "paths": list(paths), "mode": mode}
    with os.fdopen(reading, "rb") as pipe:
        try:
            process = spawn(
                MAIN,
                json.dumps(order),
                fds=[writing],
                environment=plain_environment(),
                title="jobs-app access-check",
            )
        finally:
            os.close(writing)
        answer = pipe.read()
    process.wait()
    process.close()
    if not answer:
        raise ConfigurationError(
            f"{SETTING}: this process may not change to the account {account.name}: it needs the"
            " capabilities CAP_SETUID and CAP_SETGID."
        )
    found: list[str] = json.loads(answer)
    return found
