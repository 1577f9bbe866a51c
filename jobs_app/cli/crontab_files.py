"""The crontabs that a command line names: files, directories such as /etc/cron.d, and `-`."""

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click

from jobs_app.core.text import listed
from jobs_app.jobs.importers.crontab import looks_like_system

#: Larger files are no crontabs.
MOST_BYTES = 4 * 1024 * 1024
STDIN = "-"
#: Names of files in /etc/cron.d that Debian's cron reads.
_READ_NAME = re.compile(r"[A-Za-z0-9_-]+")


@dataclass(frozen=True, slots=True)
class CrontabFile:
    """A crontab: its data, whether it has a column of accounts, and how that is known."""

    path: str
    data: bytes
    is_system: bool
    form: str
    notes: tuple[str, ...] = ()


def read_files(names: tuple[str, ...], *, is_system: bool | None) -> list[CrontabFile]:
    """Return the crontabs that *names* name; *is_system* is None if nobody said.

    Raises UsageError if one cannot be read, or is named twice.
    """
    if len(set(names)) < len(names):
        raise click.UsageError("A file is named twice.")
    return [file for name in names for file in _files_of(name, is_system)]


def _files_of(name: str, is_system: bool | None) -> Iterator[CrontabFile]:
    if name == STDIN:
        yield _crontab(STDIN, sys.stdin.buffer.read(MOST_BYTES + 1), is_system, ())
        return
    path = Path(name)
    if not path.is_dir():
        yield _read(path, is_system, ())
        return
    entries = sorted(entry for entry in path.iterdir() if entry.is_file())
    ignored = [entry.name for entry in entries if not _READ_NAME.fullmatch(entry.name)]
    notes = (f"cron does not read files of such names: {listed(ignored)}.",) if ignored else ()
    readable = [entry for entry in entries if entry.name not in ignored]
    if not readable:
        raise click.UsageError(f"{name} has no crontab in it.")
    for number, entry in enumerate(readable):
        yield _read(entry, is_system, () if number else notes)


def _read(path: Path, is_system: bool | None, notes: tuple[str, ...]) -> CrontabFile:
    try:
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise click.UsageError(f"Cannot read {path}: {error.strerror}.") from error
    whole = path.absolute()
    if _is_system_path(whole) and not _READ_NAME.fullmatch(whole.name):
        notes = (*notes, "Debian's cron does not read a file of this name in /etc/cron.d.")
    if whole.name == "anacrontab":
        raise click.UsageError(f"{path} is for anacron: its lines have no time of day.")
    return _crontab(str(whole), data, is_system, notes)


def _crontab(path: str, data: bytes, is_system: bool | None, notes: tuple[str, ...]) -> CrontabFile:
    if len(data) > MOST_BYTES:
        raise click.UsageError(f"{path} is larger than any crontab.")
    if is_system is not None:
        how = "as the option says"
    elif path != STDIN and _is_system_path(Path(path)):
        is_system, how = True, "by its place"
    elif looks_like_system(data):
        is_system, how = True, "by its content; --user if that is wrong"
    else:
        is_system, how = False, "--system if its lines name an account before the command"
    form = (
        f"a system crontab, with an account in each line ({how})"
        if is_system
        else f"the crontab of a person, without accounts in its lines ({how})"
    )
    return CrontabFile(path, data, is_system, form, notes)


def _is_system_path(path: Path) -> bool:
    return path == Path("/etc/crontab") or path.parent.name == "cron.d"
