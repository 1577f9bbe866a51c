"""Ends a process when its parent is gone, however the parent ended.

Every process that `jobs-app up` starts holds the read end of a pipe. Only `up`
has the write end, and the kernel closes it even on SIGKILL. So end of file is
the one message that always arrives, on Linux and on macOS. (Linux's
PR_SET_PDEATHSIG is not used: it fires when the *thread* that forked ends, and is
lost on a change of user.)

Our own processes wait for it in a thread (`die_with_parent`). Another program is
started by running this file, which leaves a small guard process behind and then
becomes the program (`ParentDeathPipe.guarded_command`). This file uses little of
the standard library and nothing else: it runs with `python -I -S`, in about 20 ms.
"""

import ctypes
import os
import select
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

DEATH_PIPE_VARIABLE = "JOBS_DEATH_PIPE_FD"
TERM_TO_KILL_SECONDS = 2.0
PR_SET_DUMPABLE = 4


class ParentDeathPipe:
    """A pipe whose end of file tells children that this process is gone.

    Only this process may hold the write end; children get `read_fd` through
    `pass_fds`. Closing it, or dying, ends every child that reads it. *scratch* is
    a directory that the guard of a program removes afterwards ("": none).
    """

    def __init__(self, *, scratch: str = "") -> None:
        self._scratch = scratch
        self.read_fd, self._write_fd = os.pipe()

    def environment(self) -> dict[str, str]:
        """Return what `die_with_parent` needs in the environment of a child."""
        return {DEATH_PIPE_VARIABLE: str(self.read_fd)}

    def guarded_command(self, command: Sequence[str]) -> list[str]:
        """Return *command* in a form that ends with this process; see `guarded_command`."""
        return guarded_command(command, death_pipe_fd=self.read_fd, scratch=self._scratch)

    def close(self) -> None:
        """End every child that has this pipe."""
        os.close(self._write_fd)
        os.close(self.read_fd)


def guarded_command(
    command: Sequence[str], *, death_pipe_fd: int, uid: int = -1, gid: int = -1, scratch: str = ""
) -> list[str]:
    """Return *command* in a form that ends at the end of file of *death_pipe_fd*.

    The started process becomes *command* itself, so its pid and exit code are the
    real ones. For root, *uid* and *gid* set the user and group (-1: no change).
    *scratch* is a directory that the guard removes when it has ended the program
    ("": none). The caller must pass the descriptor on (`pass_fds`).
    """
    script = str(Path(__file__).resolve())
    options = [str(death_pipe_fd), str(uid), str(gid), scratch]
    return [sys.executable, "-I", "-S", script, *options, *command]


def die_with_parent() -> None:
    """Kill this process and its group as soon as the parent with the pipe ends.

    Does nothing in a process that was started without a pipe. The group is killed
    only if this process leads it, as the children of `jobs-app up` do.
    """
    number = os.environ.pop(DEATH_PIPE_VARIABLE, "")
    if not number:
        return
    fd = int(number)
    # Children of this process must not inherit the descriptor: their parent is another one.
    os.set_inheritable(fd, False)
    threading.Thread(
        target=_kill_at_end_of_file, args=(fd,), name="parent-death", daemon=True
    ).start()


def _kill_at_end_of_file(fd: int) -> None:
    while os.read(fd, 512):
        pass
    if os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)


def _become_guarded_program(arguments: Sequence[str]) -> None:
    death_pipe, uid, gid = (int(argument) for argument in arguments[:3])
    scratch, command = arguments[3], arguments[4:]
    program = os.getpid()
    if sys.platform == "linux":
        # As core.process.protect_memory, for the guard: `exec` undoes it for the program.
        ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
    # The program holds the write end without knowing it. The guard sees end of file when it ends.
    alive, held_by_program = os.pipe()
    if (child := os.fork()) == 0:
        os.close(held_by_program)
        # Two forks, so that the guard is not a child of the program, which may wait for any child.
        if os.fork() == 0:
            _guard(program, death_pipe, alive, scratch)
        os._exit(0)
    os.waitpid(child, 0)
    os.close(alive)
    os.close(death_pipe)
    os.set_inheritable(held_by_program, True)
    # Python ignores SIGPIPE, and the program would inherit that.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    if uid >= 0:
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)
    os.execvp(command[0], list(command))  # noqa: S606 (this script exists to do it)


def _guard(program: int, death_pipe: int, alive: int, scratch: str) -> None:
    """Wait until the program ends; end it if the parent ends first."""
    os.setsid()
    null = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(null, standard)
    if alive in _wait_for(death_pipe, alive):
        return
    os.kill(program, signal.SIGTERM)
    if not _wait_for(alive, timeout_seconds=TERM_TO_KILL_SECONDS):
        os.kill(program, signal.SIGKILL)
        _wait_for(alive, timeout_seconds=TERM_TO_KILL_SECONDS)
    if scratch:
        import shutil  # noqa: PLC0415 (slow to import, and most guards remove nothing)

        shutil.rmtree(scratch, ignore_errors=True)


def _wait_for(*fds: int, timeout_seconds: float | None = None) -> set[int]:
    """Return which of *fds* are at end of file; an empty set after the timeout."""
    poll = select.poll()
    for fd in fds:
        poll.register(fd, select.POLLIN)
    ready = poll.poll(None if timeout_seconds is None else timeout_seconds * 1000)
    return {fd for fd, _ in ready}


if __name__ == "__main__":
    _become_guarded_program(sys.argv[1:])
