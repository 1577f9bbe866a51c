"""The task `shell` runs a command in a known environment and names how it ended."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import UUID

import pytest

from jobs_app.core.states import CancelMode
from jobs_app.tasks import registry
from jobs_app.tasks.builtin.shell import MOST_BYTES, shell
from jobs_app.tasks.context import (
    Cancelled,
    CommandFailed,
    Fenced,
    RunContext,
    TimedOut,
    current_run,
    environment,
)
from tests.factories import TASKS
from tests.running import Output, a_run

RUN_ID = UUID("01936f6e-7c00-7000-8000-000000000001")


def run(command: str, context: RunContext | None = None, **kwargs: Any) -> dict[str, int]:
    token = current_run.set(context or a_run())
    try:
        return shell.run(command, **kwargs)
    finally:
        current_run.reset(token)


def variables_in(output: Output) -> dict[str, str]:
    return dict(line.split("=", 1) for line in output.out.splitlines())


def test_a_successful_command_returns_its_exit_code():
    assert run("exit 0") == {"exit_code": 0}


def test_another_exit_code_fails_and_is_named():
    with pytest.raises(CommandFailed, match="exit code 3") as failure:
        run("exit 3")

    assert failure.value.exit_code == 3


def test_what_a_command_left_behind_is_named_in_its_log_without_its_arguments():
    output = Output()

    run("sh -c 'sleep 60; : token-0123' & echo early", a_run(log=output))

    (line,) = output.err.splitlines()
    assert line.startswith("jobs-app: ended ")
    assert "(pid " in line
    assert "token-0123" not in line


def test_a_signal_fails_is_named_and_counts_as_in_a_shell():
    with pytest.raises(CommandFailed, match=r"signal 9 \(SIGKILL\)") as failure:
        run("kill -9 $$")

    assert failure.value.exit_code == 137


def test_a_command_that_outlives_its_soft_limit_ends_at_the_hard_one():
    limits = a_run(soft_time_limit_seconds=0.2, time_limit_seconds=0.6, kill_grace_seconds=0)

    with pytest.raises(TimedOut, match=r"time limit of 0\.6 s"):
        run("trap '' TERM; while :; do sleep 0.05; done", limits)


def test_a_time_limit_raises_timed_out():
    with pytest.raises(TimedOut, match=r"time limit of 0\.3 s"):
        run("sleep 60", a_run(time_limit_seconds=0.3))


def test_a_cancelled_run_raises_cancelled():
    with pytest.raises(Cancelled):
        run("sleep 60", a_run(is_cancelled=lambda: CancelMode.KILL))


def test_a_worker_without_a_lease_raises_fenced():
    with pytest.raises(Fenced):
        run("sleep 60", a_run(lease_seconds_left=lambda: -1.0))


def test_the_environment_is_small_and_has_nothing_of_the_workers(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("JOBS_DATABASE_URL", "postgresql://jobs:secret@db/jobs")
    monkeypatch.setenv("LD_PRELOAD_CANARY", "1")
    output = Output()

    run("env", a_run(output))

    variables = variables_in(output)
    assert set(variables) - {"PWD", "_", "SHLVL", "OLDPWD"} == {
        *("PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG"),
        *("JOBS_RUN_ID", "JOBS_JOB", "JOBS_SCHEDULED_FOR", "JOBS_ATTEMPT"),
    }
    assert variables["HOME"] == str(tmp_path)
    assert variables["PATH"].endswith("/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")


def test_the_environment_names_the_run():
    output = Output()
    fire = datetime(2026, 3, 8, 3, tzinfo=timezone(timedelta(hours=-4)))

    run("env", a_run(output, run_id=RUN_ID, job="backup", scheduled_for=fire, attempt=2))

    variables = {name: v for name, v in variables_in(output).items() if name.startswith("JOBS_")}
    assert variables == {
        "JOBS_RUN_ID": str(RUN_ID),
        "JOBS_JOB": "backup",
        "JOBS_SCHEDULED_FOR": "2026-03-08T07:00:00Z",
        "JOBS_ATTEMPT": "2",
    }


def test_the_variables_of_a_run_are_set_without_a_job_and_a_fire():
    output = Output()
    context = a_run(output, job=None, scheduled_for=None)

    run('set -u; echo "[$JOBS_JOB] [$JOBS_SCHEDULED_FOR]"', context)

    assert output.out == "[] []\n"


@pytest.mark.parametrize("name", ["a.b", "a-b", "A\nB", "é", "1A", "A B", "", "A=B", "A\n", "²"])
def test_a_variable_that_the_shell_would_drop_is_refused(name):
    (error,) = registry.check(TASKS, "shell", {"command": "env", "env": {name: "1"}})

    assert error.code == "bad_name"
    assert "letters A-Z and a-z, digits and '_'" in error.detail


@pytest.mark.parametrize("count, is_refused", [(15, False), (16, True), (100_000, True)])
def test_variables_that_are_too_long_together_are_refused(count, is_refused):
    size = 131_000 if count < 1000 else 20
    env = {f"A{number}": "x" * (size - len(f"A{number}=")) for number in range(count)}

    errors = registry.check(TASKS, "shell", {"command": "true", "env": env})

    assert [error.pointer for error in errors] == ["/kwargs/env"] * is_refused
    if not is_refused:
        assert run("true", env=env) == {"exit_code": 0}


def test_each_variable_that_is_not_refused_reaches_the_command():
    output = Output()
    names = ["a", "_", "_1", "JAVA_HOME", "x9"]

    assert registry.check(TASKS, "shell", {"command": "env", "env": dict.fromkeys(names, "")}) == []
    run("env", a_run(output), env=dict.fromkeys(names, "1"))

    assert set(names) <= set(variables_in(output))


@pytest.mark.parametrize(
    "env, words",
    [
        ({"PATH": "/opt/bin:$PATH"}, "$PATH in it is not replaced"),
        ({"PATH": "${PATH}:/opt/bin"}, "$PATH in it is not replaced"),
        ({"SHELL": "/bin/bash"}, "the argument shell"),
        ({"CRON_TZ": "Asia/Tokyo"}, "the time zone is the schedule's"),
        ({"MAILTO": "root"}, "the event output"),
        ({"MAILFROM": "root"}, "the event output"),
        ({"RANDOM_DELAY": "30"}, "jitter_seconds"),
        ({"START_HOURS_RANGE": "3-22"}, "the schedule says"),
        ({"JOBS_RUN_ID": "1"}, "each run sets it to its own value"),
        ({"JOBS_JOB": "1"}, "each run sets it to its own value"),
        ({"PATH": "/opt/bin:/usr/bin", "MY_PATH": "$PATH"}, None),
        (None, None),
    ],
)
def test_a_variable_that_does_something_else_than_in_a_crontab_is_warned_of(env, words):
    texts = registry.argument_warnings(TASKS, "shell", {"command": "true", "env": env})

    assert len(texts) == (0 if words is None else 1)
    assert words is None or words in texts[0]


@pytest.mark.parametrize(
    "command, words",
    [
        ("#!/bin/bash\necho {1..3}", "its first line, #!/bin/bash, is a comment"),
        ("#!/usr/bin/env python3\nprint(1)", "#!/usr/bin/env python3, is a comment"),
        ("#! /bin/zsh", "is a comment"),
        ("date '+\\%F'", "a % is a plain % here"),
        ("#!/bin/sh -e\ndate '+%F'", None),
        ("#!/usr/bin/env sh\nprintf '50%%\\n'", None),
        ("# a comment\nbash -c 'echo {1..3}'", None),
    ],
)
def test_a_command_that_does_something_else_than_it_says_is_warned_of(command, words):
    texts = registry.argument_warnings(TASKS, "shell", {"command": command})

    assert len(texts) == (0 if words is None else 1)
    assert words is None or words in texts[0]


@pytest.mark.parametrize(
    "command, is_warned",
    [
        ("#!/bin/bash\necho {1..3}", False),
        ("#!/usr/bin/env bash", False),
        ("#!/bin/sh\nls", True),
        ("ls", False),
    ],
)
def test_a_first_line_that_names_the_shell_of_the_job_is_fine(command, is_warned):
    kwargs = {"command": command, "shell": "/bin/bash"}

    assert bool(registry.argument_warnings(TASKS, "shell", kwargs)) is is_warned


@pytest.mark.parametrize(
    "shell, dialect", [(None, "sh"), ("/bin/sh", "sh"), ("/bin/bash", "bash"), ("/bin/dash", "sh")]
)
def test_the_shell_of_the_job_runs_the_command_and_is_in_its_environment(shell, dialect):
    output = Output()

    run('echo "${BASH_VERSION:+bash} $SHELL"', a_run(output), shell=shell)

    name = "bash" if dialect == "bash" else ""
    assert output.out == f"{name} {shell or '/bin/sh'}\n"


@pytest.mark.parametrize(
    "allowed, shell, is_taken",
    [
        ("/bin/bash", "/bin/bash", True),
        (" /bin/zsh , /bin/bash ", "/bin/bash", True),
        ("", "/bin/sh", True),
        ("", "/bin/bash", False),
        ("/bin/bash", "/usr/bin/python3", False),
        ("/bin/bash", "bash", False),
        ("/bin/bash", "", False),
    ],
)
def test_only_the_shells_of_the_setting_run_commands(monkeypatch, allowed, shell, is_taken):
    monkeypatch.setenv("JOBS_SHELLS", allowed)

    errors = registry.check(TASKS, "shell", {"command": "true", "shell": shell})

    assert [error.code for error in errors] == ([] if is_taken else ["not_allowed"])
    if not is_taken:
        with pytest.raises(CommandFailed, match="JOBS_SHELLS allows: /bin/sh"):
            run("true", shell=shell)


@pytest.mark.parametrize("text", ["", "one\ntwo", "é\n", "x" * 200_000, "lone \ud800"])
def test_a_command_reads_the_text_of_its_standard_input(text):
    output = Output()

    run("wc -c", a_run(output), stdin=text)

    assert int(output.out) == len(text.encode("utf-8", "replace"))


def test_the_standard_input_can_be_read_by_several_programs_in_turn():
    output = Output()

    run('read line; echo "[$line]"; cat', a_run(output), stdin="one\ntwo\n")

    assert output.out == "[one]\ntwo\n"


@pytest.mark.parametrize(
    "command, codes, outcome",
    [
        ("exit 24", [24], 24),
        ("exit 1", [24, 1], 1),
        ("exit 0", [24], 0),
        ("exit 0", [], 0),
        ("exit 24", [], None),
        ("exit 2", [24], None),
        ("kill -TERM $$", [143], 143),
        ("kill -TERM $$", [15], None),
    ],
)
def test_exit_codes_that_mean_success_are_those_of_the_job_and_0(command, codes, outcome):
    if outcome is None:
        with pytest.raises(CommandFailed):
            run(command, success_exit_codes=codes)
    else:
        assert run(command, success_exit_codes=codes) == {"exit_code": outcome}


def test_a_time_limit_is_no_success_whatever_the_exit_code_is():
    with pytest.raises(TimedOut):
        run("sleep 60", a_run(time_limit_seconds=0.2), success_exit_codes=[143])


@pytest.mark.parametrize("codes", [[-1], [256], ["1"], [1.5], 3])
def test_what_is_no_exit_code_is_refused(codes):
    kwargs = {"command": "true", "success_exit_codes": codes}

    assert registry.check(TASKS, "shell", kwargs)


def test_the_environment_has_the_microseconds_of_a_fire():
    fire = datetime(2026, 1, 1, 0, 0, 0, 250_000, tzinfo=UTC)

    variables = environment(a_run(scheduled_for=fire))

    assert variables["JOBS_SCHEDULED_FOR"] == "2026-01-01T00:00:00.250000Z"


def test_the_jobs_own_variables_come_on_top_but_cannot_forge_the_run():
    output = Output()

    run(
        "env",
        a_run(output, run_id=RUN_ID),
        env={"LANG": "de_DE.UTF-8", "MINE": "a=b c", "JOBS_RUN_ID": "forged"},
    )

    variables = variables_in(output)
    assert variables["LANG"] == "de_DE.UTF-8"
    assert variables["MINE"] == "a=b c"
    assert variables["JOBS_RUN_ID"] == str(RUN_ID)


def test_a_command_starts_at_home_or_in_its_directory(monkeypatch, tmp_path):
    (tmp_path / "reports").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path))
    outputs = [Output() for _ in range(4)]

    for output, cwd in zip(outputs, (None, "reports", "~/reports", "/usr"), strict=True):
        run("pwd", a_run(output), cwd=cwd)

    home, reports = f"{tmp_path}\n", f"{tmp_path}/reports\n"
    assert [output.out for output in outputs] == [home, reports, reports, "/usr\n"]


def test_a_directory_that_is_not_there_fails_with_its_name():
    with pytest.raises(CommandFailed, match="/no/such/place"):
        run("true", cwd="/no/such/place")


def test_without_a_run_around_it_the_task_refuses():
    with pytest.raises(LookupError):
        shell.run("true")


@pytest.mark.parametrize("more, is_taken", [(0, True), (1, False)])
@pytest.mark.parametrize("character", ["x", "é"])
def test_a_command_or_variable_that_linux_cannot_start_is_refused(
    more: int, is_taken: bool, character: str
) -> None:
    def text(start: str) -> str:
        size = len(character.encode())
        rest, odd = divmod(MOST_BYTES + more - len(start), size)
        return start + " " * odd + character * rest

    command = {"command": text("true #")}
    variable = {"command": "true", "env": {"LONG": text("LONG=").removeprefix("LONG=")}}

    for kwargs in (command, variable):
        codes = [(e.pointer, e.code) for e in registry.check(TASKS, "shell", kwargs)]
        if is_taken:
            assert codes == []
            assert run(**kwargs) == {"exit_code": 0}
        else:
            name = "env" if "env" in kwargs else "command"
            assert codes == [(f"/kwargs/{name}", "too_large")]
