"""Runs in processes that change to the account of a command: above all to become the command.

Of jobs_app it imports next to nothing, to start fast.
"""

import ctypes
import json
import os
import signal
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, NoReturn

from jobs_app.tasks.command_cgroup import CommandCgroup
from jobs_app.tasks.process_limits import set_limits

PR_SET_PDEATHSIG = 1


def become_command(
    order: Mapping[str, Any],
    *,
    supervisor: int,
    streams: tuple[int, int, int],
    failure: int,
    libc: ctypes.CDLL | None,
) -> NoReturn:
    """Turn this process, a child of *supervisor*, into the command of *order*.

    *streams* become its standard streams. An error is written to *failure*, as text.
    """
    try:
        os.setpgid(0, 0)
        signal.set_wakeup_fd(-1)
        for number in range(1, signal.NSIG):
            with suppress(OSError, ValueError):
                signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, [])
        for standard, fd in enumerate(streams):
            os.dup2(fd, standard)
        os.umask(0o022)
        if order["cgroup"] is not None:
            CommandCgroup(**order["cgroup"]).enter()
        set_limits(order["limits"], of_group=order["cgroup"] or {})
        if order["account"] is not None:
            _give_streams(order["account"]["uid"])
            change_account(**order["account"])
        # After the account: the kernel forgets it when a process changes that.
        if libc is not None:
            libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
            if os.getppid() != supervisor:
                os._exit(127)
        os.chdir(order["cwd"])
        argv = order["argv"]
        os.execve(argv[0], argv, order["env"])  # noqa: S606  # the shell, if any, is in argv
    except BaseException as error:  # noqa: BLE001  # the child must not continue as a second supervisor
        os.write(failure, str(error).encode("utf-8", "replace"))
    finally:
        os._exit(127)


def _give_streams(uid: int) -> None:
    """Let *uid* open the output anew, as `echo >/dev/stderr` does."""
    for standard in (1, 2):
        with suppress(OSError):
            os.fchown(standard, uid, -1)


def change_account(name: str, uid: int, gid: int, groups: list[int]) -> None:
    """Take the rights of an account, for good. Raises PermissionError with a sentence."""
    try:
        os.setgroups(groups)
        os.setresgid(gid, gid, gid)
        os.setresuid(uid, uid, uid)
    except PermissionError as error:
        raise PermissionError(
            f"this worker may not change to the account {name}: it needs the capabilities"
            " CAP_SETUID and CAP_SETGID"
        ) from error


def report_access(order: str, answer: int) -> None:
    """Write to *answer*, as JSON, which paths of *order* its account may open in its mode."""
    wanted = json.loads(order)
    change_account(**wanted["account"])
    found = [path for path in wanted["paths"] if os.access(path, wanted["mode"])]
    os.write(answer, json.dumps(found).encode())
