"""Settings with secrets: kept out of the environment, and handed from `up` to its processes."""

import json
import os
from collections.abc import Iterable, Mapping

_values: dict[str, str] = {}


def values() -> Mapping[str, str]:
    """Return the settings that this process got in another way than as variables, by field."""
    return _values


def receive(fd: int) -> None:
    """Read the settings that `send` writes to the other end of the pipe *fd*, and close it."""
    with os.fdopen(fd, "rb") as pipe:
        _values.update(json.loads(pipe.read()))


def send(fd: int, settings: Mapping[str, str]) -> None:
    """Write *settings*, by field, to the pipe *fd*, and close it."""
    with os.fdopen(fd, "wb") as pipe:
        pipe.write(json.dumps(dict(settings)).encode())


def take_from_environment(fields: Iterable[str]) -> None:
    """Move the variables of *fields* out of the environment.

    The programs that a Python task starts then do not inherit them.
    """
    names = {f"JOBS_{field}".upper(): field for field in fields}
    for name in list(os.environ):
        # Settings ignores case too.
        if (field := names.get(name.upper())) is not None:
            _values[field] = os.environ.pop(name)
