"""The processes below this one, as the supervisor of a command finds them; on Linux only.

It imports nothing of jobs_app, to start fast.
"""

import os


def descendants() -> list[tuple[int, int, str]]:
    """Return the living descendants of this process as (pid, group, name), read from /proc.

    The name of a program has at most 15 bytes, as the kernel keeps it.
    """
    children: dict[int, list[tuple[int, int, str]]] = {}
    for number in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{number}/stat", "rb") as file:
                # The name in brackets may itself contain brackets and spaces.
                head, _, tail = file.read().rpartition(b")")
        except OSError:
            continue
        state, parent, group = tail.split()[:3]
        if state not in (b"Z", b"X"):
            name = head.partition(b"(")[2].decode("utf-8", "replace")
            children.setdefault(int(parent), []).append((int(number), int(group), name))
    processes: list[tuple[int, int, str]] = []
    below = children.get(os.getpid(), [])
    while below:
        processes += below
        below = [child for pid, _, _ in below for child in children.get(pid, [])]
    return processes
