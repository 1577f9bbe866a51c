"""The variables that JOBS_ENV_FILES gives to the commands of all jobs, or of those with a tag."""

import io
import os
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from dotenv.parser import parse_stream

from jobs_app.core.own_files import others_can_write
from jobs_app.core.settings import Settings

MOST_BYTES = 1_048_576
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class EnvFileFault(Exception):
    """A file that cannot be used, as a sentence without any value of it."""


@dataclass(frozen=True, slots=True)
class Variable:
    """A variable of a command, and the file that it comes from."""

    name: str
    value: str
    file: Path


#: What was read of each file, with the state in which the file was.
_read_before: dict[Path, tuple[tuple[int, ...], dict[str, str]]] = {}


def has_tags(settings: Settings) -> bool:
    """Tell whether the variables of a job depend on its tags."""
    return any(tag is not None for tag, _ in settings.tagged_env_files)


def variables_for(settings: Settings, tags: Collection[str]) -> list[Variable]:
    """Return the variables of a command whose job has *tags*, by name.

    A later file wins over an earlier one, and a changed file counts at once. Raises EnvFileFault.
    """
    found = {
        name: Variable(name, value, path)
        for tag, path in settings.tagged_env_files
        if tag is None or tag in tags
        for name, value in _values(path).items()
    }
    return [found[name] for name in sorted(found)]


def _values(path: Path) -> dict[str, str]:
    try:
        status = path.stat()
        state = (status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino)
        before = _read_before.get(path)
        if before is None or before[0] != state:
            _read_before[path] = before = state, dict(_parsed(path, _text(path)))
    except OSError as error:
        raise _fault(path, f"cannot be read: {error.strerror}") from error
    return before[1]


def _text(path: Path) -> str:
    for written in (path, path.parent):
        if others_can_write(written):
            raise _fault(path, f"is not used: other users can write {written}")
    with path.open("rb") as file:
        data = file.read(MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        raise _fault(path, "is larger than 1 MiB")
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise _fault(path, "is not UTF-8") from error
    if "\0" in text:
        raise _fault(path, "has a NUL character")
    return text


def _parsed(path: Path, text: str) -> Iterator[tuple[str, str]]:
    for binding in parse_stream(io.StringIO(text)):
        if binding.key is None and not binding.error:
            continue
        line = f"line {binding.original.line}"
        if binding.error or binding.key is None or binding.value is None:
            raise _fault(path, f"{line}: it is no NAME=VALUE")
        if not _NAME.fullmatch(binding.key):
            raise _fault(path, f"{line}: a name has only letters A-Z and a-z, digits and '_'")
        yield binding.key, binding.value


def _fault(path: Path, what: str) -> EnvFileFault:
    return EnvFileFault(f"JOBS_ENV_FILES: {os.fspath(path)} {what}.")
