"""What the process that sends may not do, whatever a library in it tries.

Python tells an audit hook of every connection before it is made, of every file before it
is opened and of every program before it is started. The hook cannot be taken away again.
"""

import os
import socket
import sys
from collections.abc import Iterable
from ipaddress import ip_address
from typing import Any, NoReturn

from jobs_app.core.network_allowlist import AllowlistEntry, OwnServer
from jobs_app.tasks.network_policy import own_server_refusal, refusal

_CONNECTING = frozenset({"socket.connect", "socket.sendto", "socket.sendmsg"})
_STARTING = frozenset({"subprocess.Popen", "os.exec", "os.posix_spawn", "os.system", "os.fork"})


class SandboxViolation(PermissionError):
    """Something that the process may not do."""


class Sandbox:
    """The rules of the `http` task for every connection, and closed folders for every file.

    What was refused is in `refused`: libraries do not pass on why a connection failed.
    """

    def __init__(
        self,
        *,
        allows_private: bool,
        closed_folders: Iterable[str],
        allowlist: tuple[AllowlistEntry, ...] = (),
        own: Iterable[OwnServer] = (),
    ) -> None:
        self.refused: list[str] = []
        self._allows_private = allows_private
        self._allowlist = allowlist
        self._own = tuple(own)
        self._folders = tuple(os.path.realpath(folder) + os.sep for folder in closed_folders)
        # A connection knows only an address; an allowlist entry may be for its name.
        self._names: set[str] = set()

    def install(self) -> None:
        """Put it in force for the rest of the process's life."""
        sys.addaudithook(self._hook)

    def _hook(self, event: str, args: tuple[Any, ...]) -> None:
        if event == "socket.getaddrinfo" and args[0]:
            host = args[0]
            self._names.add(host.decode("ascii", "replace") if isinstance(host, bytes) else host)
        elif event in _CONNECTING and args[1] is not None:
            self._check_address(args[1])
        elif event == "open" and isinstance(args[0], str | bytes):
            self._check_file(os.path.realpath(os.fsdecode(args[0])))
        elif event in _STARTING:
            self._refuse("Its service starts a program, which a notification may not.")

    def _refuse(self, why: str) -> NoReturn:
        self.refused.append(why)
        raise SandboxViolation(why)

    def _check_file(self, path: str) -> None:
        if path.startswith(self._folders):
            self._refuse("A file that the URL names may not be read.")

    def _check_address(self, address: Any) -> None:
        if not isinstance(address, tuple):
            self._refuse("It wants to speak to a program on the scheduler's own machine.")
        host, port = str(address[0]).partition("%")[0], int(address[1])
        for found in _addresses(host):
            if reason := self._why_not(found, port) or self._why_own(found, port):
                self._refuse(f"{found} may not be called: it is {reason}.")

    def _why_not(self, found: str, port: int) -> str | None:
        """Return what is wrong with calling an address, None if nothing is."""
        reason = self._refusal(found, port)
        if reason is None or not self._allowlist:
            return reason
        for name in tuple(self._names):
            # The address must be one of the name's: else a name that may be called opens all.
            if self._refusal(found, port, host=name) is None and found in _addresses(name):
                return None
        return reason

    def _why_own(self, found: str, port: int) -> str | None:
        """Return what is wrong with calling one of jobs-app's own servers, None if it is none."""
        for server in self._own:
            if server.port != port:
                continue
            address, theirs = ip_address(found), list(map(ip_address, _known(server.host)))
            # A connection knows only an address: any name that led to it may be the allowed one.
            names = [name for name in tuple(self._names) if found in _known(name)]
            reasons = [
                own_server_refusal(address, server, theirs, host=name, allowlist=self._allowlist)
                for name in names or [found]
            ]
            if all(reasons):
                return reasons[0]
        return None

    def _refusal(self, found: str, port: int, *, host: str = "") -> str | None:
        return refusal(
            ip_address(found),
            allows_private=self._allows_private,
            host=host,
            port=port,
            allowlist=self._allowlist,
        )


def _addresses(host: str) -> list[str]:
    """Return the addresses of *host*: itself, if it is one."""
    try:
        return [str(ip_address(host))]
    except ValueError:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
        return [str(info[4][0]).partition("%")[0] for info in found]


def _known(host: str) -> list[str]:
    """Return the addresses of *host*, none if it cannot be found."""
    try:
        return _addresses(host)
    except OSError:
        return []
