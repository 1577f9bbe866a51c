"""The descendants of a process, read from /proc; Linux only, elsewhere there are none."""

import ctypes
import os
import sys
from dataclasses import dataclass

PR_SET_CHILD_SUBREAPER = 36

#: A process that has ended and waits until its parent reads its exit status.
ZOMBIE_STATES = frozenset({"Z", "X"})

_libc = ctypes.CDLL(None)


@dataclass(frozen=True, slots=True)
class Entry:
    """A process; `started` tells it from a later one with the same number."""

    pid: int
    parent: int
    started: int
    name: str
    is_zombie: bool

    @property
    def key(self) -> tuple[int, int]:
        """The number and start time of the process, which no other process has."""
        return self.pid, self.started


def become_subreaper() -> None:
    """Make this process the parent of its orphaned descendants, instead of process 1."""
    if sys.platform == "linux":
        _libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def has_children() -> bool:
    """Tell whether this process has a child, also one that has ended; takes a microsecond."""
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def children() -> list[Entry]:
    """Return the direct children of this process, with those that have ended."""
    return [entry for entry in _processes() if entry.parent == os.getpid()]


def entry_of(pid: int) -> Entry | None:
    """Return the process *pid*, None if there is none (or no /proc)."""
    return _entry(str(pid))


def descendants(keep: frozenset[tuple[int, int]] = frozenset()) -> list[Entry]:
    """Return the descendants of this process, children first.

    Those in *keep* (by their keys) are left out, and so are the descendants of these.
    """
    return Tree(keep).below(os.getpid())


class Tree:
    """All processes at one moment, by their parents. To read it takes 20 µs a process.

    Those in *keep* (by their keys) are left out.
    """

    def __init__(self, keep: frozenset[tuple[int, int]] = frozenset()) -> None:
        self._by_parent: dict[int, list[Entry]] = {}
        for entry in _processes():
            if entry.key not in keep:
                self._by_parent.setdefault(entry.parent, []).append(entry)

    def children(self, pid: int) -> list[Entry]:
        """Return the children of the process *pid*, with those that have ended."""
        return self._by_parent.get(pid, [])

    def below(self, pid: int) -> list[Entry]:
        """Return the descendants of the process *pid*, children first."""
        result: list[Entry] = []
        entries = self.children(pid)
        while entries:
            result += entries
            entries = [child for entry in entries for child in self.children(entry.pid)]
        return result


def _processes() -> list[Entry]:
    if sys.platform != "linux":
        return []
    entries = (_entry(name) for name in os.listdir("/proc") if name.isdigit())
    return [entry for entry in entries if entry is not None]


def _entry(pid: str) -> Entry | None:
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return None
    # The name in brackets may itself contain brackets and spaces.
    before, _, after = text.rpartition(")")
    fields = after.split()
    name = before.partition("(")[2]
    return Entry(int(pid), int(fields[1]), int(fields[19]), name, fields[0] in ZOMBIE_STATES)
