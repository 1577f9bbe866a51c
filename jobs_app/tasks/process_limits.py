"""The limits of the kernel for each process of a command (setrlimit(2)).

Of jobs_app it imports nothing, to start fast.
"""

import resource
import signal
from collections.abc import Mapping
from typing import Any

#: The limit of the kernel for each of ours, which counts for each process by itself.
RESOURCES = {
    # Memory that it may write: not what a runtime only reserves, as RLIMIT_AS would.
    "memory": resource.RLIMIT_DATA,
    "processes": resource.RLIMIT_NPROC,
    "open_files": resource.RLIMIT_NOFILE,
    "cpu_seconds": resource.RLIMIT_CPU,
}
#: After SIGXCPU a process has so much more time to end before it is killed, seconds.
CPU_GRACE_SECONDS = 2


def set_limits(limits: Mapping[str, float], *, of_group: Mapping[str, Any]) -> None:
    """Lower the limits of this process for good, but for those of its cgroup."""
    for name, number in limits.items():
        if name in of_group.get("limits", ()) or name not in RESOURCES:
            continue
        kind, soft = RESOURCES[name], int(number)
        present = resource.getrlimit(kind)[1]
        hard = soft + (CPU_GRACE_SECONDS if name == "cpu_seconds" else 0)
        if present != resource.RLIM_INFINITY:
            soft, hard = min(soft, present), min(hard, present)
        resource.setrlimit(kind, (soft, hard))


#: How a shell, or a command by itself, ends whose process a signal has ended.
KILLED = (-signal.SIGKILL, 128 + signal.SIGKILL)
OUT_OF_CPU = (-signal.SIGXCPU, 128 + signal.SIGXCPU)


def reached_limits(limits: Mapping[str, float], code: int) -> list[str]:
    """Return the names of *limits* that a command has reached that ended with *code*.

    Call it in its parent. Only of processor time it can be told: the kernel kills for that.
    """
    seconds = limits.get("cpu_seconds")
    if seconds is None:
        return []
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    is_killed = code in KILLED and used.ru_utime + used.ru_stime >= seconds
    return ["cpu_seconds"] if is_killed or code in OUT_OF_CPU else []
