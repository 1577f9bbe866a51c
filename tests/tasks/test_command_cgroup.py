"""A command has a control group of its own, whose limits count all its processes together."""

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from jobs_app.core.command_limits import Limits
from jobs_app.core.states import CancelMode
from jobs_app.tasks import command_cgroup
from jobs_app.tasks.builtin.shell import shell
from jobs_app.tasks.command_cgroup import CommandCgroup, make_cgroup, parent_group
from jobs_app.tasks.context import Cancelled, CommandFailed, current_run
from tests.running import Output, a_run
from tests.servers import wait_until

MIB = 1024**2
CONTROLLERS = {"memory", "pids", "cpu"}


@pytest.fixture
def delegated(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A group that is marked as one that systemd delegates, and taken for this process's."""
    mounts = [line.split() for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    points = [Path(fields[4]) for fields in mounts if fields[fields.index("-") + 1] == "cgroup2"]
    if not points or os.geteuid() != 0:
        pytest.xfail("only root makes groups, where cgroup v2 is mounted")
    with contextlib.suppress(OSError):
        text = " ".join(f"+{name}" for name in CONTROLLERS)
        (points[0] / "cgroup.subtree_control").write_text(text)
    group = points[0] / f"jobs-app-tests-{os.getpid()}"
    try:
        group.mkdir()
    except OSError:
        pytest.xfail("the file system of cgroup v2 is closed")
    os.setxattr(group, "user.delegate", b"1")
    monkeypatch.setattr(command_cgroup, "_own_group", lambda: str(group))
    parent_group.cache_clear()
    yield group
    parent_group.cache_clear()
    for inner in group.iterdir():
        if inner.is_dir():
            inner.rmdir()
    group.rmdir()


@pytest.fixture
def limited(delegated: Path) -> Path:
    """A group like `delegated` that limits something: the machine has no cgroup v1 instead."""
    if not set((delegated / "cgroup.controllers").read_text().split()) >= CONTROLLERS:
        pytest.xfail("no cgroup v2 with controllers")
    return delegated


def run(text: str, output: Output, context: Any = None, **limits: Any) -> None:
    token = current_run.set(context or a_run(output))
    try:
        shell.run(text, limits=Limits(**limits))
    finally:
        current_run.reset(token)


def test_a_command_runs_in_a_group_that_ends_with_it(delegated: Path) -> None:
    output = Output()

    run("cat /proc/self/cgroup", output, memory="64MiB")

    assert f"/{delegated.name}/jobs-run-" in output.out
    assert [entry for entry in delegated.iterdir() if entry.name.startswith("jobs-run-")] == []


def test_a_command_without_such_limits_has_no_group(delegated: Path) -> None:
    output = Output()

    run("cat /proc/self/cgroup", output, open_files=100)

    assert delegated.name not in output.out


def test_a_kill_ends_all_processes_of_a_group(delegated: Path) -> None:
    output = Output()
    context = a_run(
        output,
        is_cancelled=lambda: CancelMode.KILL if output.out.count("\n") > 2 else None,
    )
    with pytest.raises(Cancelled):
        run(
            "for n in 1 2 3; do setsid sh -c 'echo $$; sleep 60' & done; wait",
            output,
            context,
            cpus=1,
        )

    assert not any(psutil.pid_exists(int(pid)) for pid in output.out.split())


def test_groups_that_nobody_uses_any_more_are_removed(delegated: Path) -> None:
    (delegated / "jobs-run-old").mkdir()

    assert parent_group() == str(delegated)
    assert not (delegated / "jobs-run-old").exists()


def test_a_group_that_nobody_has_delegated_is_left_alone(delegated: Path) -> None:
    os.removexattr(delegated, "user.delegate")

    assert parent_group() is None
    assert make_cgroup("x", {"memory": 64 * MIB}) is None


def test_the_group_above_counts_as_ours_if_it_is_delegated(
    delegated: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (delegated / "main").mkdir()
    monkeypatch.setattr(command_cgroup, "_own_group", lambda: str(delegated / "main"))

    assert parent_group() == str(delegated)


def test_the_group_of_this_process_is_found() -> None:
    group = command_cgroup._own_group()
    if group is None:
        pytest.xfail("no cgroup v2 is mounted")

    assert str(os.getpid()) in (Path(group) / "cgroup.procs").read_text().split()


def test_a_group_has_the_limits_in_the_form_of_the_kernel(limited: Path) -> None:
    group = make_cgroup("x", {"memory": 64 * MIB, "processes": 7, "cpus": 0.5, "open_files": 9})
    assert group is not None

    values = [
        (Path(group.path) / name).read_text().strip()
        for name in ("memory.max", "memory.oom.group", "pids.max", "cpu.max")
    ]
    group.remove()

    assert group.limits == ["memory", "processes", "cpus"]
    assert values == [str(64 * MIB), "1", "7", "50000 100000"]


def test_our_own_processes_make_room_for_groups(limited: Path) -> None:
    child = psutil.Popen(["/bin/sleep", "60"])
    (limited / "cgroup.procs").write_text(str(child.pid))
    try:
        assert parent_group() == str(limited)
        own = (limited / "jobs-app" / "cgroup.procs").read_text().split()
    finally:
        child.kill()
        child.wait()
    wait_until(lambda: not (limited / "jobs-app" / "cgroup.procs").read_text(), "it is empty")

    assert own == [str(child.pid)]
    assert set((limited / "cgroup.subtree_control").read_text().split()) >= CONTROLLERS


def test_a_command_with_all_its_processes_is_killed_at_its_memory(limited: Path) -> None:
    half = f"{sys.executable} -c 'x = bytearray(60 << 20); import time; time.sleep(9)'"

    with pytest.raises(CommandFailed) as failure:
        run(f"{half} & {half} & {half}; wait", Output(), memory="128MiB")

    assert "It reached its limit of 128 MiB of memory." in failure.value.detail


def test_a_command_that_gets_no_more_processes_says_so(limited: Path) -> None:
    with pytest.raises(CommandFailed) as failure:
        run("sleep 9 & sleep 9 & sleep 9 & sleep 9 & wait", Output(), processes=3)

    assert "limit of 3 processes" in failure.value.detail


def test_a_group_is_read_that_the_kernel_has_counted_in(tmp_path: Path) -> None:
    (tmp_path / "memory.events").write_text("low 0\nmax 12\noom 2\noom_kill 1\n")
    (tmp_path / "pids.events").write_text("max 0\n")

    group = CommandCgroup(str(tmp_path), ["memory", "processes", "cpus"])

    assert group.reached() == ["memory"]
