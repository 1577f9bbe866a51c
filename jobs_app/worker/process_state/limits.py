"""Resource limits, umask, priority and processors of a process."""

import os
import resource
from contextlib import suppress

#: Each limit by its name, such as RLIMIT_NOFILE; some names are aliases.
RLIMITS = {
    value: name
    for name, value in sorted(vars(resource).items(), reverse=True)
    if name.startswith("RLIMIT_")
}


class Limits:
    """The saved limits; only root can raise a lowered hard limit again."""

    def __init__(self) -> None:
        self._limits = list(map(resource.getrlimit, RLIMITS))
        self._umask = os.umask(0)
        os.umask(self._umask)
        self._nice = os.getpriority(os.PRIO_PROCESS, 0)
        self._processors = _processors()
        self._scheduler = _scheduler()

    def restore(self) -> list[str]:
        """Restore the limits; return the names of those that stay changed."""
        os.umask(self._umask)
        changed = []
        if list(map(resource.getrlimit, RLIMITS)) != self._limits:
            changed = self._restore_limits()
        if os.getpriority(os.PRIO_PROCESS, 0) != self._nice:
            with suppress(OSError):
                os.setpriority(os.PRIO_PROCESS, 0, self._nice)
            if os.getpriority(os.PRIO_PROCESS, 0) != self._nice:
                changed.append("nice")
        if _processors() != self._processors:
            with suppress(OSError):
                os.sched_setaffinity(0, self._processors)
        if _scheduler() != self._scheduler:
            changed.append("scheduling_policy")
        return changed

    def _restore_limits(self) -> list[str]:
        changed = []
        for (number, name), limit in zip(RLIMITS.items(), self._limits, strict=True):
            if resource.getrlimit(number) == limit:
                continue
            try:
                resource.setrlimit(number, limit)
            except (OSError, ValueError):
                # At least as much as this user may have, to finish the run.
                hard = resource.getrlimit(number)[1]
                with suppress(OSError, ValueError):
                    resource.setrlimit(number, (hard, hard))
                changed.append(name)
        return changed


def _processors() -> set[int]:
    # Not on macOS.
    return os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()


def _scheduler() -> int:
    return os.sched_getscheduler(0) if hasattr(os, "sched_getscheduler") else 0
