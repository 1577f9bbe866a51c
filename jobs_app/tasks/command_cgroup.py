"""The control group of a command: limits that count all its processes together. Linux only.

Only where a group is ours to divide: systemd has delegated it (`Delegate=yes`), or it is the
root of a container that may write it. See the kernel's documentation of cgroup v2, sections
2.5.1 (delegation) and 2.4.3 (no processes beside groups). Of jobs_app it imports nothing, so
that the supervisor of a command starts fast.
"""

import os
from collections.abc import Mapping
from contextlib import suppress
from functools import cache

#: The controller of each limit, the file for it, and the file that counts how often it was hit.
CONTROLLERS = {
    "memory": ("memory", "memory.max", "memory.events", "oom_kill"),
    "processes": ("pids", "pids.max", "pids.events", "max"),
    "cpus": ("cpu", "cpu.max", "", ""),
}
PERIOD_MICROSECONDS = 100_000
PREFIX = "jobs-run-"
#: The group of our own processes, where they would stand beside those of commands.
OWN_GROUP = "jobs-app"
MOST_MOVES = 20


class CommandCgroup:
    """A group of its own for one command. `limits` are the names of those that it has."""

    def __init__(self, path: str, limits: list[str]) -> None:
        self.path = path
        self.limits = limits

    def enter(self) -> None:
        """Move this process into the group. Raises OSError."""
        _write(self.path, "cgroup.procs", "0")

    def reached(self) -> list[str]:
        """Return the names of the limits at which the kernel refused or killed a process."""
        return [name for name in self.limits if self._events(*CONTROLLERS[name][2:]) > 0]

    def kill(self) -> None:
        """Kill all its processes at once, also one that forks without end (Linux 5.14)."""
        with suppress(OSError):
            _write(self.path, "cgroup.kill", "1")

    def remove(self) -> None:
        """Remove the group, which has no process any more."""
        with suppress(OSError):
            os.rmdir(self.path)

    def _events(self, file: str, counter: str) -> int:
        if not file:
            return 0
        try:
            lines = _read(self.path, file).splitlines()
        except OSError:
            return 0
        counts = dict(line.split(" ", 1) for line in lines if " " in line)
        return int(counts.get(counter, 0))


def make_cgroup(name: str, limits: Mapping[str, float]) -> CommandCgroup | None:
    """Make the group *name* with those of *limits* that a group can have; None if there is none."""
    wanted = [limit for limit in limits if limit in CONTROLLERS]
    base = parent_group() if wanted else None
    if base is None:
        return None
    path = os.path.join(base, PREFIX + name)
    group = CommandCgroup(path, [])
    try:
        os.mkdir(path)
        for limit in wanted:
            controller, file, *_ = CONTROLLERS[limit]
            if controller in _read(path, "cgroup.controllers").split():
                _write(path, file, _value(limit, limits[limit]))
                group.limits.append(limit)
        if "memory" in group.limits:
            # All of the command ends, not one process of it; and swap is no way around.
            for file, value in (("memory.oom.group", "1"), ("memory.swap.max", "0")):
                with suppress(OSError):
                    _write(path, file, value)
    except OSError:
        group.remove()
        return None
    return group


def _value(limit: str, number: float) -> str:
    if limit == "cpus":
        return f"{max(1000, int(number * PERIOD_MICROSECONDS))} {PERIOD_MICROSECONDS}"
    return str(int(number))


@cache
def parent_group() -> str | None:
    """Return the group in which we may make others, prepared for that; None if there is none.

    Our own processes leave it, if they stand in it, for a group of their own in it.
    """
    own = _own_group()
    if own is None:
        return None
    for group in (own, os.path.dirname(own)):
        if _is_ours(group):
            try:
                _prepare(group)
            except OSError:
                return None
            _remove_old(group)
            return group
    return None


def _own_group() -> str | None:
    """Return the directory of the group of this process, None without cgroup v2."""
    try:
        with open("/proc/self/cgroup") as file:
            paths = [line.strip()[3:] for line in file if line.startswith("0::")]
        with open("/proc/self/mountinfo") as file:
            mounts = [line.split() for line in file]
    except OSError:
        return None
    for fields in mounts:
        # See proc(5): root and mount point, and the type behind the hyphen.
        root, point, kind = fields[3], fields[4], fields[fields.index("-") + 1]
        if kind == "cgroup2" and paths and (paths[0] + "/").startswith(root.rstrip("/") + "/"):
            below = paths[0].removeprefix(root.rstrip("/")).strip("/")
            return os.path.join(point, below).rstrip("/")
    return None


def _is_ours(group: str) -> bool:
    """Tell whether we may divide *group*: only its owner may, and that is systemd elsewhere."""
    if not os.access(os.path.join(group, "cgroup.subtree_control"), os.W_OK):
        return False
    for name in ("user.delegate", "trusted.delegate"):
        with suppress(OSError):
            if os.getxattr(group, name) == b"1":
                return True
    # The root of a container: the group of the whole machine has no type.
    return os.path.ismount(group) and os.path.exists(os.path.join(group, "cgroup.type"))


def _prepare(group: str) -> None:
    """Give the groups in *group* the controllers that it has. Raises OSError."""
    wanted = {controller for controller, *_ in CONTROLLERS.values()}
    missing = wanted.intersection(_read(group, "cgroup.controllers").split()) - set(
        _read(group, "cgroup.subtree_control").split()
    )
    if not missing:
        return
    own = os.path.join(group, OWN_GROUP)
    for _ in range(MOST_MOVES):
        # A process may fork meanwhile.
        for pid in _read(group, "cgroup.procs").split():
            os.makedirs(own, exist_ok=True)
            with suppress(ProcessLookupError):
                _write(own, "cgroup.procs", pid)
        with suppress(BlockingIOError, OSError):
            _write(group, "cgroup.subtree_control", " ".join(f"+{name}" for name in missing))
            return
    raise OSError(f"{group} keeps processes beside its groups")


def _remove_old(group: str) -> None:
    """Remove the groups of commands whose worker and supervisor were killed."""
    for name in os.listdir(group):
        if name.startswith(PREFIX):
            # It fails for one that has a process.
            with suppress(OSError):
                os.rmdir(os.path.join(group, name))


def _read(group: str, file: str) -> str:
    with open(os.path.join(group, file)) as stream:
        return stream.read()


def _write(group: str, file: str, text: str) -> None:
    fd = os.open(os.path.join(group, file), os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)
