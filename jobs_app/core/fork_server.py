"""A small process that forks others, so that no process of ours that gets a secret is an `exec`.

A process is readable for others of its user from its `exec` until it protects itself. A
descriptor of its memory that somebody opened meanwhile works for ever. A process that a
protected one forks is protected from its first instant.

A process starts its server in its first lines (`start`), when it holds no secret and has no
thread. Processes that it forks share the server. Each request is one byte, with descriptors:
the order, the pipe for the process id and the exit code, and those for the new process.
`fork_server_main` answers the requests.
"""

import contextlib
import json
import os
import socket
import sys
import threading
import traceback
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn

from jobs_app.core.fork_server_main import FORK, LEND, PRELOAD, SHARE, UNSHARE, serve
from jobs_app.core.forked_process import ForkedProcess

#: What a process needs of the environment that is neither a setting nor a secret.
PLAIN_VARIABLES = ("PATH", "LD_LIBRARY_PATH", "LANG", "TMPDIR")

_connection: socket.socket | None = None
_lock = threading.Lock()


def plain_environment() -> dict[str, str]:
    """Return the variables of this process that cannot be secret: PLAIN_VARIABLES."""
    return {name: os.environ[name] for name in PLAIN_VARIABLES if name in os.environ}


def spawn(
    target: str,
    *arguments: str,
    fds: Sequence[int] = (),
    environment: Mapping[str, str],
    title: str,
) -> ForkedProcess:
    """Fork a process that calls *target* (`module:function`) with *arguments* and *fds*.

    It leads a session, its standard streams are /dev/null, and it has no other descriptor
    and no other variable. *title* is its command line for `ps`. Raises OSError.
    """
    order = {
        "target": target,
        "arguments": arguments,
        "environment": dict(environment),
        "title": title,
    }
    status_read, status_write = os.pipe()
    try:
        _order(FORK, order, [status_write, *fds])
    except BaseException:
        os.close(status_read)
        raise
    finally:
        os.close(status_write)
    return ForkedProcess(status_read)


def preload(modules: Sequence[str], environment: Mapping[str, str]) -> None:
    """Have the server import *modules*, which the processes that it forks then share.

    Returns at once; the server forks the next process when it has imported them. A module
    may read *environment* at its import. One that cannot be imported is left to the process
    that needs it. None of them may start a thread at its import. Raises OSError.
    """
    _order(PRELOAD, {"modules": list(modules), "environment": dict(environment)})


def share(modules: Sequence[str], environment: Mapping[str, str]) -> None:
    """Let the processes that are spawned from now on share *modules*, as `preload` does.

    The server itself does not import them (on Linux): a process does that `unshare` ends.
    Raises OSError.
    """
    _order(SHARE, {"modules": list(modules), "environment": dict(environment)})


def unshare() -> None:
    """Give up the modules of `share`, once the processes that share them have been spawned.

    Later processes import what they need. Raises OSError.
    """
    _request(UNSHARE, [])


def lend() -> socket.socket:
    """Return a connection to a new server, for a process that is spawned next: see `use`.

    That server has imported as little as this one. Raises OSError.
    """
    ours, theirs = socket.socketpair()
    with theirs:
        try:
            _request(LEND, [theirs.fileno()])
        except BaseException:
            ours.close()
            raise
    return ours


def use(connection: int) -> None:
    """Take the server at the other end of the descriptor *connection* for that of this process."""
    global _connection
    _connection = socket.socket(fileno=connection)


def _order(message: bytes, order: Mapping[str, Any], fds: Sequence[int] = ()) -> None:
    """Send *message* with a pipe that has *order*, and *fds*."""
    reading, writing = os.pipe()
    try:
        _request(message, [reading, *fds])
    except BaseException:
        os.close(writing)
        raise
    finally:
        os.close(reading)
    # A process that is killed at once does not read it: `ForkedProcess` tells its exit code.
    with contextlib.suppress(BrokenPipeError), os.fdopen(writing, "wb") as pipe:
        pipe.write(json.dumps(order).encode())


def _request(message: bytes, fds: list[int]) -> None:
    global _connection
    with _lock:
        if _connection is not None:
            with contextlib.suppress(OSError):
                socket.send_fds(_connection, [message], fds)
                return
            # It was killed: the next one is forked from this process, which is protected.
            _connection.close()
            _connection = None
        _connection = _start_detached()
        socket.send_fds(_connection, [message], fds)


def start() -> Callable[[], Any] | None:
    """Start the server of this process and of those that it forks.

    Returns None here. In each process that the server forks it returns what to call: call
    it and exit.
    """
    global _connection
    ours, theirs = socket.socketpair()
    owner = os.getpid()
    if os.fork() == 0:
        ours.close()
        return _serve(theirs, owner)
    theirs.close()
    _connection = ours
    return None


def _start_detached() -> socket.socket:
    """Start a server later, from a process with threads and a deep stack.

    It is no child of this process, whose user code may wait for any child.
    """
    ours, theirs = socket.socketpair()
    owner = os.getpid()
    if (child := os.fork()) == 0:
        try:
            if os.fork() == 0:
                ours.close()
                _exit_after(_serve(theirs, owner))
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    theirs.close()
    return ours


def _serve(connection: socket.socket, owner: int) -> Callable[[], Any]:
    global _connection, _lock
    # The lock is held while a server starts late.
    _connection, _lock = None, threading.Lock()
    return serve(connection, owner)


def _exit_after(call: Callable[[], Any]) -> NoReturn:
    """Call, and end this process without the clean-up of the process that it was forked from."""
    code = 1
    try:
        call()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:  # noqa: BLE001  # as Python itself ends a program
        traceback.print_exc()
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)
