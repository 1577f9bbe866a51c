"""Checks of `jobs-app up` before it starts anything: directory, port, imports, variables."""

import contextlib
import errno
import fcntl
import os
import socket
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from jobs_app.core.errors import ConfigurationError, Conflict
from jobs_app.core.setting_names import mistyped_variables
from jobs_app.core.settings import Settings
from jobs_app.up.programs import announce

LOCK_NAME = "up.lock"
# A killed predecessor takes its children along, but not in the same instant.
PORT_SECONDS = 1.0


def make_private(directory: Path) -> None:
    """Create the data directory with mode 0700; raises ConfigurationError if that fails.

    A directory that already had other files keeps its mode: it may be somebody's home.
    """
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        names = {path.name for path in directory.iterdir()}
        if not names or LOCK_NAME in names:
            # Somebody else's directory is refused by `own_files`, with a sentence.
            with contextlib.suppress(PermissionError):
                directory.chmod(0o700)
    except OSError as error:
        raise ConfigurationError(
            f"JOBS_DATA_DIR {directory} cannot be used: {error.strerror}."
        ) from error


@contextlib.contextmanager
def lock(directory: Path) -> Iterator[None]:
    """Hold the lock on the data directory; raises Conflict, with the holder's pid, if taken."""
    with (directory / LOCK_NAME).open("a+") as lock_file:
        try:
            fcntl.flock(lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            lock_file.seek(0)
            raise Conflict(
                f"jobs-app already runs on {directory}, as process {lock_file.read().strip()}: "
                "stop it first, or choose another directory with JOBS_DATA_DIR."
            ) from error
        lock_file.truncate(0)
        lock_file.write(f"{os.getpid()}\n")
        lock_file.flush()
        yield


def warn_of_typos(environment: Mapping[str, str], *, process: str = "up") -> None:
    """Announce, for *process*, variables whose names look like a setting but are none."""
    for name, suggestion in mistyped_variables(environment):
        text = f"{name} is no setting and is ignored; did you mean {suggestion}?"
        announce(text, name=process)


def checked_port(settings: Settings) -> int:
    """Return the port of the web server, a free one for 0.

    Raises Conflict if another program listens there, ConfigurationError if the
    address cannot be used.
    """
    deadline = time.monotonic() + PORT_SECONDS
    while True:
        try:
            return _bind(settings.host, settings.port)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise ConfigurationError(
                    f"JOBS_HOST {settings.host}, JOBS_PORT {settings.port}: "
                    f"nobody can listen there ({error.strerror})."
                ) from error
            if time.monotonic() > deadline:
                raise Conflict(
                    f"Port {settings.port} on {settings.host} is taken: stop what listens there, "
                    "or choose another with JOBS_PORT or --port."
                ) from error
        time.sleep(0.05)


def _bind(host: str, port: int) -> int:
    family, kind, protocol, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    with socket.socket(family, kind, protocol) as probe:
        # As the web server does: connections in TIME_WAIT do not block the port.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(address)
        probe.listen()
        bound: int = probe.getsockname()[1]
        return bound
