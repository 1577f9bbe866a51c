"""The limits of each process of a command are set, and its error names them."""

import os
import resource
import sys
from typing import Any

import pytest

from jobs_app.core.command_limits import Limits
from jobs_app.tasks import command
from jobs_app.tasks.builtin.shell import shell
from jobs_app.tasks.context import CommandFailed, current_run
from tests.running import Output, a_run

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="other systems limit other things")

GROWS = f"{sys.executable} -c 'x = bytearray(300_000_000)'"


@pytest.fixture(autouse=True)
def _without_cgroup(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "make_cgroup", lambda *_: None)


def printed(text: str, limits: dict[str, Any], **kwargs: Any) -> Output:
    output = Output()
    token = current_run.set(a_run(output))
    try:
        shell.run(text, limits=Limits(**limits), **kwargs)
    finally:
        current_run.reset(token)
    return output


def failure(text: str, limits: dict[str, Any], **kwargs: Any) -> CommandFailed:
    with pytest.raises(CommandFailed) as error:
        printed(text, limits, **kwargs)
    return error.value


def test_each_process_of_the_command_has_the_limits() -> None:
    limits = {"memory": "64MiB", "open_files": 100, "cpu_seconds": 7, "processes": 4000}

    text = printed("sh -c 'cat /proc/self/limits'", limits).out

    rows = {line[:26].strip(): line[26:].split()[:2] for line in text.splitlines()}
    assert rows["Max data size"] == ["67108864", "67108864"]
    assert rows["Max open files"] == ["100", "100"]
    assert rows["Max cpu time"] == ["7", "9"]
    assert rows["Max processes"] == ["4000", "4000"]


def test_without_limits_a_command_has_those_of_its_worker() -> None:
    text = printed("ulimit -n; ulimit -d", {}).out

    files, data = (resource.getrlimit(kind)[0] for kind in (7, resource.RLIMIT_DATA))
    assert text.split()[1] == ("unlimited" if data == resource.RLIM_INFINITY else str(data // 1024))
    assert files > 0


def test_a_limit_above_that_of_the_worker_is_the_workers() -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]

    assert printed("ulimit -n", {"open_files": hard + 1}).out == f"{hard}\n"


def test_a_command_that_gets_no_more_memory_has_its_limit_in_the_error() -> None:
    error = failure(GROWS, {"memory": "100MiB"})

    assert error.detail == ("The command ended with exit code 1. Its limit was 100 MiB of memory.")


@pytest.mark.few(1)
@pytest.mark.parametrize("text", ["while :; do :; done", "sh -c 'while :; do :; done'; exit $?"])
def test_a_command_that_uses_up_its_processor_time_is_killed_and_says_so(text: str) -> None:
    error = failure(text, {"cpu_seconds": 1})

    assert "It reached its limit of 1 s of processor time." in error.detail


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_the_processes_of_an_account_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JOBS_SHELL_USERS", "daemon")

    error = failure("sleep 9 & sleep 9 & sleep 9 & wait", {"processes": 2}, user="daemon")

    assert "Its limit was 2 processes." in error.detail


def test_a_limit_of_processors_says_where_it_has_no_effect() -> None:
    output = printed("true", {"cpus": 0.5})

    assert "cpus has no effect" in output.err
