"""Finds modules whose import ends the process, by `os._exit()` or a crash of C code.

A process leaves a note, an empty file, while it imports a module of the user. A process that
finds such a note imports the module in a child first. If the child ends too, the module is
broken, and the process goes on without it. Else every start would end in the same way.
"""

import contextlib
import os
import select
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

#: The child may take this long for the import, seconds; a slower one is not judged.
CHILD_SECONDS = 60.0


class ProcessEnded(Exception):
    """The import of a module ended the process that tried it."""


@contextlib.contextmanager
def checked_import(directory: Path, module: str, load: Callable[[str], None]) -> Iterator[None]:
    """Leave a note in *directory* during the block, which imports *module*.

    Raises ProcessEnded if a note is there already, and *load* ends a child. Without a usable
    directory there is no note.
    """
    note = directory / f"importing-{module}"
    if _is_file(note) and (end := _end_of_child(lambda: load(module))) is not None:
        # The note stays: the next start must not import the module either.
        raise ProcessEnded(f"its import ends the process, {end}")
    with contextlib.suppress(OSError):
        note.touch(mode=0o600)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            note.unlink()


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:
        return False


def _end_of_child(work: Callable[[], None]) -> str | None:
    """Do *work* in a child; return how the child ended, None if it survived or took too long."""
    survived, survived_end = os.pipe()
    if (child := os.fork()) == 0:
        with contextlib.suppress(BaseException):  # user code; only its survival counts
            work()
        os.write(survived_end, b"1")
        os._exit(0)
    os.close(survived_end)
    is_over = bool(select.select([survived], [], [], CHILD_SECONDS)[0])
    is_broken = is_over and not os.read(survived, 1)
    os.close(survived)
    if not is_broken:
        os.kill(child, signal.SIGKILL)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if not is_broken:
        return None
    return f"with exit code {code}" if code >= 0 else f"by {signal.Signals(-code).name}"
