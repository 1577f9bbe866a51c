"""A command that runs as another account has its rights and its surroundings, and no others."""

import os
import pwd
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from jobs_app.core.states import CancelMode
from jobs_app.tasks.builtin.shell import shell
from jobs_app.tasks.command_child import change_account
from jobs_app.tasks.context import Cancelled, CommandFailed, TimedOut, current_run
from tests.running import Output, a_run, in_child
from tests.servers import is_alive, wait_until

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")

NOBODY = pwd.getpwnam("nobody")
USERS = "nobody,daemon"


@pytest.fixture(autouse=True)
def _allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JOBS_SHELL_USERS", USERS)


@pytest.fixture
def open_path() -> Iterator[Path]:
    """A directory that other accounts can enter, and write: those of pytest are closed to them."""
    with tempfile.TemporaryDirectory() as directory:
        Path(directory).chmod(0o777)
        yield Path(directory)


def printed(command: str, **kwargs: object) -> str:
    output = Output()
    token = current_run.set(a_run(output))
    try:
        shell.run(command, user="nobody", **kwargs)
    finally:
        current_run.reset(token)
    return output.out


def test_a_command_has_the_numbers_of_its_account_and_no_capability() -> None:
    lines = dict(line.split(":\t") for line in printed("cat /proc/self/status").splitlines())
    groups = os.getgrouplist("nobody", NOBODY.pw_gid)

    assert lines["Uid"].split() == [str(NOBODY.pw_uid)] * 4
    assert lines["Gid"].split() == [str(NOBODY.pw_gid)] * 4
    assert lines["Groups"].split() == [str(group) for group in groups]
    assert {lines[name] for name in ("CapPrm", "CapEff", "CapInh", "CapAmb")} == {"0" * 16}
    assert lines["NoNewPrivs"] == "1"


def test_a_command_has_the_surroundings_of_its_account() -> None:
    names = "HOME USER LOGNAME SHELL"
    text = printed(f"for n in {names}; do eval echo \\$$n; done; pwd; umask; id -un")

    # Its home directory does not exist, on Debian at least.
    start = NOBODY.pw_dir if os.path.isdir(NOBODY.pw_dir) else "/"
    assert text.split() == [NOBODY.pw_dir, "nobody", "nobody", "/bin/sh", start, "0022", "nobody"]


def test_a_directory_of_a_command_starts_at_the_home_of_its_account(open_path: Path) -> None:
    home = pwd.getpwnam("daemon").pw_dir

    assert printed("pwd", cwd=str(open_path)).strip() == str(open_path)
    assert printed("pwd", cwd="~daemon").strip() == os.path.realpath(home)
    with pytest.raises(CommandFailed, match=NOBODY.pw_dir):
        printed("pwd", cwd="~/there")


def test_a_command_cannot_start_where_its_account_may_not_go(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)

    with pytest.raises(CommandFailed, match="Permission denied"):
        printed("pwd", cwd=str(closed))


def test_a_command_inherits_its_three_streams_only() -> None:
    assert printed("ls /proc/self/fd", stdin="x").split() == ["0", "1", "2", "3"]


def test_a_command_can_open_its_output_anew() -> None:
    output = Output()
    token = current_run.set(a_run(output))
    try:
        shell.run("echo out >/dev/stdout; echo err >/dev/stderr", user="nobody")
    finally:
        current_run.reset(token)

    assert (output.out, output.err) == ("out\n", "err\n")


def test_a_command_reads_nothing_of_its_supervisor_and_does_not_signal_it() -> None:
    text = printed(
        "p=$PPID; cat /proc/$p/environ; cat /proc/$p/mem; ls /proc/$p/fd; ls /proc/$p/cwd/;"
        " kill -0 $p; kill -9 $p; echo done"
    )

    assert text == "done\n"


@pytest.mark.parametrize("mode", [CancelMode.GRACEFUL, CancelMode.KILL])
def test_a_cancel_ends_all_processes_of_another_account(mode: CancelMode, open_path: Path) -> None:
    pids = open_path / "pids"
    command = (
        f"trap '' TERM; (trap '' TERM; setsid sh -c 'echo $$ >>{pids}; exec sleep 61') &"
        f" echo $$ >>{pids}; while :; do sleep 0.1; done"
    )
    context = a_run(
        kill_grace_seconds=0.3,
        is_cancelled=lambda: mode if pids.exists() and pids.read_text().count("\n") > 1 else None,
    )
    token = current_run.set(context)
    try:
        with pytest.raises(Cancelled):
            shell.run(command, user="nobody")
    finally:
        current_run.reset(token)

    assert not any(is_alive(int(pid)) for pid in pids.read_text().split())


def test_a_time_limit_ends_a_command_of_another_account() -> None:
    token = current_run.set(a_run(time_limit_seconds=0.3))
    try:
        with pytest.raises(TimedOut):
            shell.run("sleep 60", user="nobody")
    finally:
        current_run.reset(token)


def test_a_command_of_another_account_ends_when_its_supervisor_is_killed(open_path: Path) -> None:
    pid_file = open_path / "pid"

    def lose_the_supervisor() -> str:
        child = os.fork()
        if child == 0:
            wait_until(lambda: pid_file.exists() and pid_file.read_text() != "", "it runs")
            os.kill(psutil.Process(int(pid_file.read_text())).ppid(), signal.SIGKILL)
            os._exit(0)
        try:
            printed(f"echo $$ >{pid_file}; exec sleep 61")
        except CommandFailed as error:
            return error.detail
        return ""

    assert "was killed" in in_child(lose_the_supervisor)
    wait_until(lambda: not is_alive(int(pid_file.read_text())), "the command ends")


def test_a_worker_without_the_capabilities_says_which_it_needs() -> None:
    def change() -> str:
        # As root without any capability.
        os.setresuid(*(NOBODY.pw_uid,) * 3)
        try:
            change_account("daemon", 1, 1, [1])
        except PermissionError as error:
            return str(error)
        return ""

    assert "change to the account daemon: it needs the capabilities CAP_SETUID" in in_child(change)
