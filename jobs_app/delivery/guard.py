"""What the process that sends may not do, whatever a library in it tries.

Python tells an audit hook of every connection before it is made, of every file before it
is opened and of every program before it is started. The hook cannot be taken away again.
"""

import os
import socket
import sys
from collections.abc import Callable, Iterable
from ipaddress import ip_address
from typing import Any

from jobs_app.tasks.egress import refusal

_CONNECTING = frozenset({"socket.connect", "socket.sendto", "socket.sendmsg"})
_STARTING = frozenset({"subprocess.Popen", "os.exec", "os.posix_spawn", "os.system", "os.fork"})

Hook = Callable[[str, tuple[Any, ...]], None]


class Refused(PermissionError):
    """Something that the process may not do."""


def make_hook(*, allows_private: bool, closed_folders: Iterable[str], refused: list[str]) -> Hook:
    """Return a hook by the rules of the `http` task, that opens nothing in *closed_folders*.

    What it refused is added to *refused*: libraries do not pass on why a connection failed.
    """
    folders = tuple(os.path.realpath(folder) + os.sep for folder in closed_folders)

    def refuse(why: str) -> None:
        refused.append(why)
        raise Refused(why)

    def hook(event: str, args: tuple[Any, ...]) -> None:
        if event in _CONNECTING and args[1] is not None:
            _check_address(args[1], allows_private=allows_private, refuse=refuse)
        elif event == "open" and isinstance(args[0], str | bytes):
            path = os.path.realpath(os.fsdecode(args[0]))
            if path.startswith(folders):
                refuse("A file that the URL names may not be read.")
        elif event in _STARTING:
            refuse("Its service starts a program, which a notification may not.")

    return hook


def _check_address(address: Any, *, allows_private: bool, refuse: Callable[[str], None]) -> None:
    if not isinstance(address, tuple):
        refuse("It wants to speak to a program on the scheduler's own machine.")
        return
    host = str(address[0]).partition("%")[0]
    for found in _addresses(host):
        reason = refusal(ip_address(found), allows_private=allows_private)
        if reason is not None:
            refuse(f"{found} may not be called: it is {reason}.")


def _addresses(host: str) -> list[str]:
    try:
        return [str(ip_address(host))]
    except ValueError:
        # A name: Python would look it up by itself, after this.
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
        return [str(info[4][0]).partition("%")[0] for info in found]


def install(hook: Hook) -> None:
    """Put *hook* in force for the rest of the process's life."""
    sys.addaudithook(hook)
