"""The sandbox of the sender process: what it may not do, whatever a library in it tries.

Python calls an audit hook before it makes a connection, opens a file or starts a program.
A hook cannot be removed.
"""

import os
import socket
import sys
from collections.abc import Iterable
from ipaddress import ip_address
from typing import Any, NoReturn

from jobs_app.core.network_allowlist import OwnServer
from jobs_app.tasks.network_policy import NetworkPolicy

_CONNECT_EVENTS = frozenset({"socket.connect", "socket.sendto", "socket.sendmsg"})
_PROGRAM_EVENTS = frozenset(
    {"subprocess.Popen", "os.exec", "os.posix_spawn", "os.system", "os.fork"}
)


class SandboxViolation(PermissionError):
    """The sandbox refused an action of the process."""


class Sandbox:
    """Applies the network rules of the `http` task to every connection, and closes folders.

    `violations` holds the refusals: libraries do not pass on why a connection failed.
    """

    def __init__(self, policy: NetworkPolicy, *, closed_folders: Iterable[str]) -> None:
        self.violations: list[str] = []
        self._policy = policy
        self._named: tuple[OwnServer, ...] | None = ()
        self._folders = tuple(os.path.realpath(folder) + os.sep for folder in closed_folders)
        # A connection knows only its address, but an allowlist entry may be for a name: keep the
        # names that were looked up.
        self._names: set[str] = set()

    def begin(self, named: tuple[OwnServer, ...] | None) -> None:
        """Begin a message; *named* are the servers that Sentinels name, None if none answers."""
        self.violations.clear()
        self._named = named

    def install(self) -> None:
        """Apply the sandbox for the rest of the process's life."""
        sys.addaudithook(self._hook)

    def _hook(self, event: str, args: tuple[Any, ...]) -> None:
        if event == "socket.getaddrinfo" and args[0]:
            host = args[0]
            self._names.add(host.decode("ascii", "replace") if isinstance(host, bytes) else host)
        elif event in _CONNECT_EVENTS and args[1] is not None:
            self._check_address(args[1])
        elif event == "open" and isinstance(args[0], str | bytes):
            self._check_file(os.path.realpath(os.fsdecode(args[0])))
        elif event in _PROGRAM_EVENTS:
            self._refuse("Its service starts a program, which a notification may not.")

    def _refuse(self, reason: str) -> NoReturn:
        self.violations.append(reason)
        raise SandboxViolation(reason)

    def _check_file(self, path: str) -> None:
        if path.startswith(self._folders):
            self._refuse("A file that the URL names may not be read.")

    def _check_address(self, address: Any) -> None:
        if not isinstance(address, tuple):
            self._refuse("It connects to a program on the scheduler's own machine.")
        host, port = str(address[0]).partition("%")[0], int(address[1])
        for resolved in _addresses(host):
            if reason := self._network_refusal(resolved, port) or self._own_refusal(resolved, port):
                self._refuse(f"{resolved} may not be called: it is {reason}.")

    def _network_refusal(self, address: str, port: int) -> str | None:
        """Return why the network rules refuse an address, None if they allow it."""
        reason = self._refusal(address, port)
        if reason is None or not self._policy.allowlist:
            return reason
        for name in tuple(self._names):
            # The name must resolve to this address, or one allowed name would open all.
            if self._refusal(address, port, host=name) is None and address in _addresses(name):
                return None
        return reason

    def _own_refusal(self, address: str, port: int) -> str | None:
        """Return why one of jobs-app's own servers is refused, None if it is none of them."""
        if self._named is None:
            reasons = [
                self._policy.unknown_servers_refusal(ip_address(address), host=name, port=port)
                for name in self._names_of(address)
            ]
            if all(reasons):
                return reasons[0]
        for server in (*self._policy.own, *(self._named or ())):
            if server.port != port:
                continue
            server_addresses = list(map(ip_address, _known_addresses(server.host)))
            reasons = [
                self._policy.own_server_refusal(
                    ip_address(address), server, server_addresses, host=name
                )
                for name in self._names_of(address)
            ]
            if all(reasons):
                return reasons[0]
        return None

    def _names_of(self, address: str) -> list[str]:
        """Return the names that resolve to *address*: any may be the allowed one. Else itself."""
        names = [name for name in tuple(self._names) if address in _known_addresses(name)]
        return names or [address]

    def _refusal(self, address: str, port: int, *, host: str = "") -> str | None:
        return self._policy.refusal(ip_address(address), host=host, port=port)


def _addresses(host: str) -> list[str]:
    """Return the addresses of *host*: itself, if it is one."""
    try:
        return [str(ip_address(host))]
    except ValueError:
        infos = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
        return [str(info[4][0]).partition("%")[0] for info in infos]


def _known_addresses(host: str) -> list[str]:
    """Return the addresses of *host*, none if it cannot be resolved."""
    try:
        return _addresses(host)
    except OSError:
        return []
