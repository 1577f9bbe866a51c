"""Checks that an installation's files belong to its user, and that no other user writes them."""

import grp
import os
import pwd
import stat
from pathlib import Path

from jobs_app.core.errors import ConfigurationError

#: Files that hold secrets or the database; those of Valkey are in a directory of their own.
DATABASE_FILES = ("jobs.db", "jobs.db-wal", "jobs.db-shm")
SECRET_FILES = ("admin-token", "admin-token.header", "secret-key", "redis-url")


def open_data_dir(directory: Path) -> None:
    """Let only the owner read what this process creates, and check what the directory has.

    Raises ConfigurationError if the directory or a file in it belongs to somebody else, if
    others can write it, or if it cannot be used. A directory that does not exist passes.
    """
    os.umask(0o077)
    try:
        if directory.exists():
            _check(directory)
    except OSError as error:
        raise ConfigurationError(
            f"JOBS_DATA_DIR {directory} cannot be used: {error.strerror}."
        ) from error


def _check(directory: Path) -> None:
    check_owner(directory, "JOBS_DATA_DIR")
    if directory.stat().st_uid == os.geteuid() and not any(directory.iterdir()):
        directory.chmod(0o700)
    if others_can_write(directory):
        raise ConfigurationError(
            f"JOBS_DATA_DIR {directory} can be written by other users: "
            f"choose a directory of its own, for example {directory / 'jobs-app'}."
        )
    for name in (*DATABASE_FILES, *SECRET_FILES):
        path = directory / name
        if path.is_symlink() or path.exists():
            check_owner(path, "The file")
            if name in DATABASE_FILES and path.stat().st_mode & 0o077:
                # An older version, started under another umask, left it so.
                path.chmod(0o600)


def check_owner(path: Path, what: str) -> None:
    """Raise ConfigurationError unless *path*, and what it links to, is this user's or root's."""
    try:
        owners = {path.lstat().st_uid, path.stat().st_uid}
    except OSError as error:
        raise ConfigurationError(f"{what} {path} cannot be used: {error.strerror}.") from error
    if foreign := owners - {os.geteuid(), 0}:
        raise ConfigurationError(
            f"{what} {path} belongs to another user (uid {min(foreign)}), and this process "
            f"runs as uid {os.geteuid()}: run it as that user, or choose another directory."
        )


def check_secret_file(path: Path) -> None:
    """Raise ConfigurationError if another user owns or can read the file *path*."""
    check_owner(path, "The file")
    if path.stat().st_mode & 0o077:
        raise ConfigurationError(f"Others can read {path}: make its mode 0600.")


def others_can_write(path: Path) -> bool:
    """Return whether users other than this one and root can write *path*."""
    status = path.stat()
    if status.st_uid not in {os.geteuid(), 0} or status.st_mode & stat.S_IWOTH:
        return True
    return bool(status.st_mode & stat.S_IWGRP) and not _is_own_group(status.st_gid)


def _is_own_group(gid: int) -> bool:
    """Return whether a group is this user's own: many systems give each user one."""
    if gid != os.getegid():
        return False
    try:
        group = grp.getgrgid(gid)
    except KeyError:
        return False
    return not group.gr_mem and group.gr_name == _user_name()


def _user_name() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return ""
