"""No process of a shell job outlives its run or its worker, whatever either of them does."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from jobs_app.core.settings import Settings
from jobs_app.core.states import CancelMode
from jobs_app.tasks.command import CommandEnd, Program, run_command
from jobs_app.tasks.context import RunContext, environment
from tests.running import Output, a_run, pid_in
from tests.servers import is_alive, wait_until

ROOT = Path(__file__).parents[2]
ENV = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8"}

# A worker of one run, to be killed or frozen: it prints how its command ended.
WORKER = """
import json, sys
from dataclasses import asdict
from jobs_app.tasks.command import Program, run_command
from tests.running import a_run
order = json.loads(sys.argv[1])
context = a_run(lease_seconds_left=lambda: order["lease"], kill_grace_seconds=order["grace"])
env = {"PATH": "/usr/local/bin:/usr/bin:/bin"}
program = Program(["/bin/sh", "-c", order["command"]], env, order["cwd"])
end = run_command(program, context=context)
print(json.dumps(asdict(end)))
"""


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., CommandEnd]:
    def run(command: str, context: RunContext | None = None) -> CommandEnd:
        context = context or a_run()
        env = {**ENV, **environment(context)}
        program = Program(["/bin/sh", "-c", command], env, str(tmp_path))
        return run_command(program, context=context)

    return run


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    started: list[subprocess.Popen[str]] = []

    def start(command: str, *, lease: float = 20.0, grace: float = 5.0) -> subprocess.Popen[str]:
        order = {"command": command, "lease": lease, "grace": grace, "cwd": str(tmp_path)}
        process = subprocess.Popen(
            [sys.executable, "-c", WORKER, json.dumps(order)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def supervisor_of(pid: int) -> int:
    """Return the supervisor of the process *pid*: its nearest ancestor that runs one."""
    return next(
        p.pid for p in psutil.Process(pid).parents() if "command-supervisor" in str(p.cmdline())
    )


def cancel_after(file: Path, *modes: CancelMode) -> Callable[[], CancelMode | None]:
    """Ask for *modes*, one after the other, once the command has written *file*."""
    left = list(modes)

    def is_cancelled() -> CancelMode | None:
        if not file.exists():
            return None
        return left.pop(0) if len(left) > 1 else left[0]

    return is_cancelled


@pytest.mark.parametrize("code", [0, 1, 3, 127, 255])
def test_the_exit_code_comes_back(run, code):
    end = run(f"exit {code}")

    assert (end.why, end.code) == ("exited", code)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL, signal.SIGSEGV])
def test_the_signal_that_ended_the_command_comes_back(run, number):
    end = run(f"kill -{int(number)} $$")

    assert (end.why, end.code) == ("exited", -number)


def test_a_command_that_cannot_be_started_says_why(tmp_path):
    nowhere = str(tmp_path / "nowhere")

    missing = run_command(Program([nowhere], ENV, "/"), context=a_run())
    no_folder = run_command(Program(["/bin/true"], ENV, nowhere), context=a_run())
    huge = run_command(Program(["/bin/echo", "x" * 3_000_000], ENV, "/"), context=a_run())
    broken = run_command(Program(["/bin/echo", "\0"], ENV, "/"), context=a_run())

    assert {end.why for end in (missing, no_folder, huge, broken)} == {"not_started"}
    assert "No such file" in missing.detail
    assert nowhere in no_folder.detail
    assert "too long" in huge.detail
    assert "null byte" in broken.detail


def test_output_comes_with_its_stream_and_is_complete(run):
    output = Output()

    run("echo out; echo err >&2; printf '\\377\\000'", a_run(output))

    assert output.kept == {"stdout": b"out\n\xff\0", "stderr": b"err\n"}


def test_200_megabytes_of_output_pass_through_flat_memory(run):
    output = Output()
    process = psutil.Process()
    before = process.memory_info().rss

    end = run("head -c 200000000 /dev/zero", a_run(output))

    assert end.code == 0
    assert output.size == 200_000_000
    assert process.memory_info().rss - before < 20_000_000


def test_the_command_has_no_input_no_other_files_and_its_own_group(run):
    output = Output()

    run("cat; ls /proc/self/fd | wc -l; ps -o pgid= -p $$; echo $$; umask", a_run(output))

    open_files, group, pid, umask = output.out.split()
    assert int(open_files) == 4  # 0, 1, 2 and the directory that ls reads
    assert group == pid
    assert umask == "0022"


PRIVILEGES = "grep NoNewPrivs /proc/self/status; ulimit -Hc; ulimit -Sc"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has the flag")
@pytest.mark.parametrize("new_privileges, flag", [(False, "1"), (True, "0")])
def test_a_command_gains_no_privileges_and_dumps_no_core(run, new_privileges, flag):
    output = Output()
    settings = Settings(new_privileges=new_privileges)

    run(PRIVILEGES, replace(a_run(output), settings=settings))

    assert output.out.split() == ["NoNewPrivs:", flag, "0", "0"]


def test_signals_that_the_worker_ignores_work_in_the_command(run):
    before = signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    try:
        end = run("sh -c 'kill -PIPE $$'; test $? = 141 && kill -TERM $$")
    finally:
        signal.signal(signal.SIGPIPE, before)

    assert end.code == -signal.SIGTERM


def test_the_time_limit_ends_the_whole_group(run, tmp_path):
    end = run("sleep 60 & echo $! > child; wait", a_run(time_limit_seconds=0.5))

    assert end.why == "timed_out"
    assert end.duration_seconds < 4
    assert not is_alive(pid_in(tmp_path / "child"))


def test_a_command_that_ignores_term_is_killed_after_the_grace(run):
    context = a_run(time_limit_seconds=0.3, kill_grace_seconds=0.5)

    end = run("trap '' TERM; while :; do sleep 0.1; done", context)

    assert (end.why, end.code) == ("timed_out", -signal.SIGKILL)
    assert 0.8 <= end.duration_seconds < 4


def test_a_command_gets_one_term_and_may_tidy_up(run, tmp_path):
    context = a_run(time_limit_seconds=0.3)

    end = run("trap 'echo tidy >> notes; exit 4' TERM; while :; do sleep 0.05; done", context)

    assert (end.why, end.code) == ("timed_out", 4)
    assert (tmp_path / "notes").read_text() == "tidy\n"


def test_a_stopped_command_is_ended_by_its_limit(run):
    context = a_run(time_limit_seconds=0.5, kill_grace_seconds=30)

    end = run("kill -STOP $$", context)

    assert end.why == "timed_out"
    assert end.duration_seconds < 4


def test_a_command_that_heeds_the_soft_limit_succeeds(run):
    limits = a_run(soft_time_limit_seconds=0.3, time_limit_seconds=30)

    heeding = run("trap 'exit 0' TERM; while :; do sleep 0.05; done", limits)
    dying = run("sleep 60", limits)

    assert (heeding.why, heeding.code) == ("exited", 0)
    assert dying.why == "timed_out"


def test_cancel_asks_first_and_kills_after_the_grace(run, tmp_path):
    output = Output()
    asked = cancel_after(tmp_path / "up", CancelMode.GRACEFUL)
    context = a_run(output, is_cancelled=asked, kill_grace_seconds=0.5)

    end = run("trap 'echo asked' TERM; touch up; while :; do sleep 0.05; done", context)

    assert (end.why, end.code) == ("cancelled", -signal.SIGKILL)
    assert output.out == "asked\n"


def test_a_second_harder_cancel_does_not_wait_for_the_grace(run, tmp_path):
    modes = cancel_after(tmp_path / "up", CancelMode.GRACEFUL, CancelMode.KILL)
    context = a_run(is_cancelled=modes, kill_grace_seconds=60)

    end = run("trap '' TERM; touch up; while :; do sleep 0.05; done", context)

    assert (end.why, end.code) == ("cancelled", -signal.SIGKILL)


def test_a_daemon_that_keeps_stdout_open_does_not_hold_the_run(run, tmp_path):
    end = run("nohup sleep 60 & echo $! > daemon")

    assert (end.why, end.code) == ("exited", 0)
    assert not is_alive(pid_in(tmp_path / "daemon"))


def test_a_double_forked_daemon_that_ignores_term_is_found_and_killed(run, tmp_path):
    daemon = 'trap "" TERM; echo $$ > daemon; while :; do sleep 0.1; done'
    started = time.monotonic()

    end = run(
        f"(setsid sh -c '{daemon}' &) ; until [ -s daemon ]; do sleep 0.02; done",
        a_run(kill_grace_seconds=0.5),
    )

    assert (end.why, end.code) == ("exited", 0)
    assert not is_alive(pid_in(tmp_path / "daemon"))
    assert time.monotonic() - started < 5


def test_what_a_command_left_behind_is_named(run, tmp_path):
    end = run(
        "sh -c 'echo > ready; exec sleep 60' & echo $! > one; setsid sleep 61 & echo $! > two; "
        "until [ -e ready ]; do sleep 0.02; done; sleep 0.3"
    )

    one, two = (pid_in(tmp_path / name) for name in ("one", "two"))
    assert end.leftovers.startswith("ended 2 processes that were still running, by SIGTERM: ")
    assert f"(pid {one})" in end.leftovers
    assert f"(pid {two})" in end.leftovers
    assert "sleep (pid " in end.leftovers


def test_of_many_left_behind_ten_are_named_and_all_are_counted(run):
    end = run("for n in $(seq 14); do sleep 60 & done")

    assert "14 processes" in end.leftovers
    assert end.leftovers.count("(pid ") == 10
    assert end.leftovers.endswith(" and 4 more")


def test_one_that_ignores_term_is_named_with_the_signal_that_ended_it(run):
    script = "sh -c 'trap \"\" TERM; echo > ready; while :; do sleep 0.1; done' > /dev/null &"

    end = run(f"{script} until [ -e ready ]; do sleep 0.02; done", a_run(kill_grace_seconds=0.3))

    assert "by SIGTERM, then SIGKILL: " in end.leftovers


@pytest.mark.parametrize("command", ["true", "sleep 0.1 & wait", "echo a | cat", "exit 3"])
def test_a_command_that_ends_its_own_processes_left_nothing_behind(run, command):
    assert run(command).leftovers == ""


def test_processes_of_a_command_that_was_stopped_are_not_named(run):
    assert run("sleep 60 & sleep 60", a_run(time_limit_seconds=0.3)).leftovers == ""


def test_the_time_limit_reaches_a_process_in_another_session(run, tmp_path):
    end = run("setsid sleep 60 & echo $! > other; wait", a_run(time_limit_seconds=0.5))

    assert end.why == "timed_out"
    assert not is_alive(pid_in(tmp_path / "other"))


def test_a_worker_that_is_killed_takes_its_command_with_it(worker, tmp_path):
    process = worker("setsid sleep 60 & echo $! > other; echo $$ > main; wait")
    pids = [pid_in(tmp_path / name) for name in ("other", "main")]
    pids.append(supervisor_of(pids[1]))

    process.kill()

    wait_until(lambda: not any(map(is_alive, pids)), "the command and its supervisor are gone")


def test_a_command_may_tidy_up_and_print_after_its_worker_is_dead(worker, tmp_path):
    tidy = "head -c 300000 /dev/zero; echo done > notes; exit"
    process = worker(f"trap '{tidy}' TERM; echo $$ > main; while :; do sleep 0.05; done")
    main = pid_in(tmp_path / "main")

    process.kill()

    wait_until(lambda: not is_alive(main), "the command is gone")
    assert (tmp_path / "notes").read_text() == "done\n"


def test_a_command_that_ignores_term_dies_with_its_worker(worker, tmp_path):
    process = worker("trap '' TERM; echo $$ > main; while :; do sleep 0.1; done", grace=0.5)
    main = pid_in(tmp_path / "main")

    process.kill()

    wait_until(lambda: not is_alive(main), "the command is killed after the grace")


def test_a_frozen_worker_loses_its_command_when_the_lease_runs_out(worker, tmp_path):
    process = worker("echo $$ > main; while :; do echo x; sleep 0.01; done", lease=1.5)
    main = pid_in(tmp_path / "main")

    process.send_signal(signal.SIGSTOP)
    frozen_at = time.monotonic()
    wait_until(lambda: not is_alive(main), "the command is ended by the fence")
    took = time.monotonic() - frozen_at
    process.send_signal(signal.SIGCONT)
    out, _ = process.communicate(timeout=10)

    assert 0.9 < took < 5
    assert json.loads(out)["why"] == "fenced"


def test_a_command_that_thaws_when_another_worker_may_run_it_is_killed_without_term(
    worker, tmp_path
):
    asked = "trap 'echo asked > asked' TERM; echo $$ > main; while :; do sleep 0.02; done"
    process = worker(asked, lease=1.0, grace=60)
    main = psutil.Process(pid_in(tmp_path / "main"))
    frozen = [process, psutil.Process(supervisor_of(main.pid)), main, *main.children()]

    for process_ in frozen:
        # The `sleep` of the command may have ended meanwhile.
        with contextlib.suppress(psutil.NoSuchProcess):
            process_.send_signal(signal.SIGSTOP)
    # The lease, and the grace that a command gets which is not too late.
    frozen_at = time.monotonic()
    wait_until(lambda: time.monotonic() > frozen_at + 6.5, "another worker may run it")
    for process_ in reversed(frozen):
        with contextlib.suppress(psutil.NoSuchProcess):
            process_.send_signal(signal.SIGCONT)

    wait_until(lambda: not is_alive(main.pid), "the command is gone", timeout_seconds=2)
    assert not (tmp_path / "asked").exists()


def test_a_lease_that_is_renewed_holds_for_longer_than_itself(run):
    end = run("sleep 2.5", a_run(lease_seconds_left=lambda: 1.8))

    assert (end.why, end.code) == ("exited", 0)


def test_a_lease_that_is_not_renewed_ends_the_command_though_the_worker_lives(run):
    until = time.monotonic() + 0.7

    end = run("sleep 60", a_run(lease_seconds_left=lambda: until - time.monotonic()))

    assert end.why == "fenced"
    assert end.duration_seconds < 4


def test_a_killed_supervisor_takes_the_command_with_it(run, tmp_path):
    def kill_supervisor() -> None:
        pid_in(tmp_path / "other")
        os.kill(supervisor_of(pid_in(tmp_path / "main")), signal.SIGKILL)

    killer = threading.Thread(target=kill_supervisor)
    killer.start()
    end = run("setsid sleep 60 & echo $! > other; sleep 60 & echo $! > child; echo $$ > main; wait")
    killer.join()

    assert end.why == "supervisor_died"
    for name in ("main", "child", "other"):
        assert not is_alive(pid_in(tmp_path / name))


def test_the_command_dies_even_if_worker_and_supervisor_are_killed_at_once(worker, tmp_path):
    process = worker("trap '' TERM; echo $$ > main; while :; do sleep 0.1; done")
    main = pid_in(tmp_path / "main")
    supervisor = supervisor_of(main)

    process.send_signal(signal.SIGSTOP)
    os.kill(supervisor, signal.SIGKILL)
    process.kill()

    wait_until(lambda: not is_alive(main), "the kernel has killed the command", timeout_seconds=3)


def test_a_frozen_supervisor_does_not_hold_the_run_past_its_limit(run, tmp_path, monkeypatch):
    monkeypatch.setattr("jobs_app.tasks.command.SUPERVISOR_LATE_SECONDS", 1.0)

    def freeze_supervisor() -> None:
        os.kill(supervisor_of(pid_in(tmp_path / "main")), signal.SIGSTOP)

    freezer = threading.Thread(target=freeze_supervisor)
    freezer.start()
    end = run("echo $$ > main; sleep 60", a_run(time_limit_seconds=1, kill_grace_seconds=0.5))
    freezer.join()

    assert end.why == "supervisor_died"
    assert not is_alive(pid_in(tmp_path / "main"))


def test_term_to_everybody_does_not_make_the_supervisor_leave_its_command(run, tmp_path):
    def term_supervisor() -> None:
        os.kill(supervisor_of(pid_in(tmp_path / "main")), signal.SIGTERM)

    sender = threading.Thread(target=term_supervisor)
    sender.start()
    end = run("echo $$ > main; sleep 0.7; exit 5")
    sender.join()

    assert (end.why, end.code) == ("exited", 5)


def test_an_exception_in_the_worker_ends_the_command(run, tmp_path):
    main = tmp_path / "main"

    def fail_once_started() -> CancelMode | None:
        if main.exists():
            raise KeyboardInterrupt
        return None

    with pytest.raises(KeyboardInterrupt):
        run("echo $$ > main; sleep 60", a_run(is_cancelled=fail_once_started))

    wait_until(lambda: not is_alive(pid_in(main)), "the command is gone")


def test_neither_command_nor_environment_shows_in_the_supervisors_arguments(
    run, tmp_path, monkeypatch
):
    monkeypatch.setenv("JOBS_DATABASE_URL", "canary-worker")
    seen: list[bytes] = []

    def look() -> None:
        supervisor = Path(f"/proc/{supervisor_of(pid_in(tmp_path / 'main'))}")
        seen.append((supervisor / "cmdline").read_bytes() + (supervisor / "environ").read_bytes())

    looker = threading.Thread(target=look)
    looker.start()
    run("echo $$ > main; : canary-command; sleep 0.5")
    looker.join()

    assert b"jobs-app command-supervisor" in seen[0]
    assert b"canary" not in seen[0]


def test_no_file_descriptor_stays_open_in_the_worker(run):
    run("true")
    before = len(os.listdir("/proc/self/fd"))

    for _ in range(5):
        run("echo x; exit 1")

    assert len(os.listdir("/proc/self/fd")) == before
