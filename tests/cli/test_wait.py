"""`jobs-app job run --wait` and what `jobs-app run` shows."""

import json
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from click.testing import Result

from tests.cli.canned import RUN_ID, Canned, CannedServer, a_job, a_run, page, problem

Run = Callable[..., Result]

AT = "2026-11-01T00:00:02Z"


def started(server: CannedServer, *later: Canned) -> None:
    """Let `job run hello` start a run that is then read as *later* have it."""
    location = {"Location": f"/api/v1/runs/{RUN_ID}"}
    server.on("POST", "/jobs/hello/runs", Canned(a_run("queued"), 202, location))
    server.on("GET", f"/runs/{RUN_ID}", *later)
    server.on("GET", f"/runs/{RUN_ID}/log", Canned(b""))


@pytest.mark.parametrize(
    "state, command_code, exit_code",
    [
        ("succeeded", 0, 0),
        ("failed", 3, 3),
        ("failed", 123, 123),
        ("failed", 126, 1),
        ("failed", 255, 1),
        ("failed", 0, 1),
        ("failed", None, 1),
        ("failed", -9, 1),
        ("timed_out", None, 124),
        ("cancelled", 5, 1),
        ("lost", None, 1),
        ("skipped", None, 1),
        ("missed", None, 1),
    ],
)
def test_waiting_ends_with_the_runs_own_outcome(
    server: CannedServer, run: Run, state: str, command_code: int | None, exit_code: int
) -> None:
    started(server, Canned(a_run(state, exit_code=command_code)))

    result = run("job", "run", "hello", "--wait")

    assert result.exit_code == exit_code


def test_each_change_of_state_is_a_line_on_standard_error(server: CannedServer, run: Run) -> None:
    started(
        server,
        Canned(a_run("queued")),
        Canned(a_run("running")),
        Canned(a_run("running")),
        Canned(a_run("succeeded", result={"exit_code": 0})),
    )

    result = run("job", "run", "hello", "--wait")

    assert result.stderr.splitlines() == [
        f"Run {RUN_ID}: queued",
        f"Run {RUN_ID}: running",
        f"Run {RUN_ID}: succeeded",
    ]
    assert result.stdout == f'Run {RUN_ID} succeeded after 2.00 s.\nResult: {{"exit_code": 0}}\n'


def test_a_failure_shows_the_end_of_the_log_and_the_reason(server: CannedServer, run: Run) -> None:
    error = {"type": "CommandFailed", "message": "exit code 3", "traceback": None}
    log = {"bytes": 400, "truncated": False}
    started(server, Canned(a_run("failed", exit_code=3, error=error, log=log)))
    lines = "".join(f"line {number}\n" for number in range(50)) + "\x1b[31mbad\x1b[0m\n"
    server.on("GET", f"/runs/{RUN_ID}/log", Canned(lines.encode()))

    result = run("job", "run", "hello", "--wait")

    printed = result.stdout.splitlines()
    assert printed[0] == "[the last 20 lines]"
    assert printed[1] == "line 31"
    assert printed[-2] == "bad"
    assert printed[-1] == f"Run {RUN_ID} failed after 2.00 s: CommandFailed: exit code 3"


def test_a_success_shows_the_end_of_the_log_too(server: CannedServer, run: Run) -> None:
    started(server, Canned(a_run("succeeded", log={"bytes": 9, "truncated": False})))
    server.on("GET", f"/runs/{RUN_ID}/log", Canned(b"17 files\n"))

    result = run("job", "run", "hello", "--wait")

    assert result.stdout == f"17 files\nRun {RUN_ID} succeeded after 2.00 s.\n"


@pytest.mark.parametrize(
    "state, log, shown",
    [
        ("failed", b"one\n\x1b[31mcannot reach db host db1:5432\x1b[0m\n\n", True),
        ("failed", b"", False),
        ("succeeded", b"cannot reach db host db1:5432\n", False),
    ],
)
def test_a_failure_is_shown_with_the_last_line_of_its_output(
    server: CannedServer, run: Run, state: str, log: bytes, shown: bool
) -> None:
    answer = a_run(state, log={"bytes": len(log), "truncated": False})
    server.on("GET", f"/runs/{RUN_ID}", Canned(answer))
    server.on("GET", f"/runs/{RUN_ID}/log", Canned(log))

    lines = run("run", "show", RUN_ID).stdout.splitlines()
    as_json = json.loads(run("run", "show", RUN_ID, "--json").stdout)

    last = [line.split(maxsplit=2)[2] for line in lines if line.startswith("Last line")]
    assert last == (["cannot reach db host db1:5432"] if shown else [])
    assert as_json == answer


def test_json_while_waiting_is_the_finished_run_alone(server: CannedServer, run: Run) -> None:
    started(server, Canned(a_run("failed", exit_code=3)))

    result = run("job", "run", "hello", "--wait", "--json")

    assert json.loads(result.stdout)["state"] == "failed"
    assert result.exit_code == 3


OLD_ID = "01935000-0000-7000-8000-000000000000"


def retried(server: CannedServer) -> None:
    """Let `run retry OLD_ID` start a run."""
    fresh = a_run("queued", trigger="retry_of", retry_of=OLD_ID)
    server.on("POST", f"/runs/{OLD_ID}/retry", Canned(fresh, 202))


def test_a_run_is_done_once_more_with_what_was_said_of_it(server: CannedServer, run: Run) -> None:
    retried(server)

    result = run("run", "retry", OLD_ID, "--arg", "n=10", "--note", "again", "--overlap", "skip")

    assert result.stdout == f"Run {RUN_ID} repeats {OLD_ID} and is queued.\n"
    assert f"jobs-app run log -f {RUN_ID}" in result.stderr
    assert server.requests[-1].body == {
        "kwargs": {"n": 10},
        "note": "again",
        "overlap_policy": "skip",
    }


def test_a_repetition_can_be_waited_for(server: CannedServer, run: Run) -> None:
    retried(server)
    failed = a_run("failed", exit_code=3, log={"bytes": 4, "truncated": False})
    server.on("GET", f"/runs/{RUN_ID}", Canned(failed))
    server.on("GET", f"/runs/{RUN_ID}/log", Canned(b"bad\n"))

    result = run("run", "retry", OLD_ID, "--wait")

    assert (result.exit_code, result.stdout.splitlines()[0]) == (3, "bad")


def test_a_run_that_has_not_ended_is_not_repeated(server: CannedServer, run: Run) -> None:
    detail = "The run has not ended: it is running."
    server.on("POST", f"/runs/{OLD_ID}/retry", problem(409, code="run_not_over", detail=detail))

    result = run("run", "retry", OLD_ID)

    assert (result.exit_code, result.stdout) == (4, "")
    assert detail in result.stderr


@pytest.mark.parametrize("options", [["--timeout", "1"], ["--follow"], ["--wait", "-f", "--json"]])
def test_options_of_a_repetition_that_do_nothing_are_refused(
    server: CannedServer, run: Run, options: list[str]
) -> None:
    assert run("run", "retry", OLD_ID, *options).exit_code == 2
    assert server.requests == []


def test_a_timeout_ends_the_waiting_with_124(server: CannedServer, run: Run) -> None:
    started(server, Canned(a_run("running")))

    result = run("job", "run", "hello", "--wait", "--timeout", "0.3")

    assert result.exit_code == 124
    assert f"jobs-app run show {RUN_ID}" in result.stderr


def test_a_server_that_is_away_for_a_moment_does_not_end_the_waiting(
    server: CannedServer, run: Run
) -> None:
    away = problem(503, code="unavailable", detail="Just now.")
    started(server, away, away, Canned(a_run("succeeded")))

    result = run("job", "run", "hello", "--wait")

    assert result.exit_code == 0


def test_a_run_that_is_refused_has_exit_code_4(server: CannedServer, run: Run) -> None:
    server.on("POST", "/jobs/hello/runs", problem(409, code="overlap", detail="hello is running."))

    result = run("job", "run", "hello", "--wait")

    assert result.exit_code == 4
    assert "hello is running." in result.stderr


def test_run_now_sends_the_arguments_the_note_and_the_policy(
    server: CannedServer, run: Run
) -> None:
    started(server)

    result = run("job", "run", "hello", "--arg", "n=1", "--note", "again", "--overlap", "allow_all")

    assert result.exit_code == 0
    assert server.requests[0].body == {
        "kwargs": {"n": 1},
        "note": "again",
        "overlap_policy": "allow_all",
    }
    assert result.stdout == f"Run {RUN_ID} of hello is queued.\n"


def test_ctrl_c_stops_the_waiting_and_not_the_run(server: CannedServer) -> None:
    started(server, Canned(a_run("running")))
    waiting = subprocess.Popen(
        [sys.executable, "-m", "jobs_app", "job", "run", "hello", "--wait"],
        stderr=subprocess.PIPE,
        text=True,
    )
    assert waiting.stderr is not None
    while "running" not in waiting.stderr.readline():
        assert waiting.poll() is None, "it ended before the run did"

    waiting.send_signal(signal.SIGINT)
    _, rest = waiting.communicate(timeout=10)

    assert waiting.returncode == 130
    assert f"jobs-app run show {RUN_ID}" in rest
    assert {request.method for request in server.requests[1:]} == {"GET"}


@contextmanager
def terminal(
    *arguments: str, columns: int = 100, term: str = "xterm-256color", no_color: str = ""
) -> Iterator[tuple[int, "subprocess.Popen[bytes]"]]:
    """Run `jobs-app` on a terminal; give its other end."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "COLUMNS": str(columns), "TERM": term}
    environment["NO_COLOR"] = no_color
    process = subprocess.Popen(
        [sys.executable, "-m", "jobs_app", *arguments],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=environment,
    )
    os.close(theirs)
    try:
        yield ours, process
    finally:
        os.close(ours)
        process.wait(timeout=10)


def read_all(descriptor: int) -> str:
    """Return everything until the other end is closed, for at most 20 seconds."""
    pieces = []
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            piece = os.read(descriptor, 65536)
        except OSError:  # Linux's way to say end of file on a terminal
            break
        if not piece:
            break
        pieces.append(piece)
    return b"".join(pieces).decode()


def test_on_a_terminal_a_spinner_shows_the_state(server: CannedServer) -> None:
    started(server, Canned(a_run("running", reason="[red]not markup")), Canned(a_run("succeeded")))

    with terminal("job", "run", "hello", "--wait") as (screen, process):
        output = read_all(screen)

    assert ": running, [red]not markup" in output
    assert "succeeded after 2.00 s." in output
    assert process.returncode == 0


def test_on_a_terminal_times_are_relative_and_states_coloured(server: CannedServer) -> None:
    failed = a_run("failed", job="[bold]x\x1b]0;title\x07", created_at="2020-01-01T00:00:00Z")
    server.on("GET", "/runs", page(failed))

    with terminal("run", "list") as (screen, _):
        output = read_all(screen)

    assert "years ago" in output
    assert "\x1b[1;31mfailed" in output
    assert "[bold]x" in output
    assert "title" not in output


def test_a_narrow_terminal_cuts_no_id_short(server: CannedServer) -> None:
    server.on("GET", "/runs", page(a_run("succeeded", job="a-job-with-a-rather-long-name")))

    with terminal("run", "list", columns=50) as (screen, _):
        output = read_all(screen)

    assert RUN_ID in output
    assert "succeeded" in output


def test_a_narrow_terminal_breaks_no_name(server: CannedServer) -> None:
    last = {"id": RUN_ID, "state": "succeeded", "finished_at": "2026-11-01T00:00:03Z"}
    jobs = [a_job(name=name, last_run=last) for name in ("nightly-report-of-sales", "b")]
    server.on("GET", "/jobs", page(*jobs))
    server.on("GET", "/runs", page(a_run("succeeded", job="nightly-report-of-sales")))

    for command in (["job", "list"], ["run", "list"]):
        with terminal(*command, columns=60) as (screen, _):
            assert "nightly-report-of-sales" in read_all(screen)


def test_without_colour_nothing_is_dim_or_bold_either(server: CannedServer) -> None:
    server.on("GET", "/runs", page(a_run("failed")))
    server.on("GET", "/jobs/hello", Canned(a_job(state="paused")))

    for command in (["run", "list"], ["job", "show", "hello"]):
        with terminal(*command, no_color="1") as (screen, _):
            assert "\x1b[" not in read_all(screen)


def test_a_log_on_a_terminal_cannot_drive_it(server: CannedServer) -> None:
    server.on("GET", f"/runs/{RUN_ID}/log", Canned(b"\x1b]0;title\x07a\x1b[2Jb\x9b\n"))

    with terminal("run", "log", RUN_ID) as (screen, _):
        output = read_all(screen)

    assert output == "ab\ufffd\r\n"


def test_a_log_in_a_pipe_is_as_it_was_written(server: CannedServer, run: Run) -> None:
    written = "10%\r\n20%\x1b[31m é\nno end".encode()
    server.on("GET", f"/runs/{RUN_ID}/log", Canned(written))

    result = run("run", "log", RUN_ID)

    assert result.stdout_bytes == written


def test_the_filters_of_the_runs_are_sent(server: CannedServer, run: Run) -> None:
    server.on("GET", "/runs", page(a_run()))

    result = run(
        *("run", "list", "--job", "hello", "--state", "failed", "--state", "lost"),
        *("--from", "2026-01-01T00:00:00Z"),
    )

    assert server.requests[0].query == {
        "job": "hello",
        "state": "failed,lost",
        "from": "2026-01-01T00:00:00Z",
        "limit": "50",
    }
    assert result.stdout.splitlines()[1].split() == [
        RUN_ID,
        "hello",
        "succeeded",
        "2026-11-01T00:00:00Z",
        "2.00",
        "s",
        "manual",
    ]


def test_show_tells_the_attempts_the_error_and_where_the_log_is(
    server: CannedServer, run: Run
) -> None:
    late = {"state": "succeeded", "exit_code": 0, "error": None, "at": "2026-11-23T12:00:03Z"}
    gone = {"message": "worker vanished"}
    attempts = [
        {"attempt": 1, "state": "lost", "worker": "w1", "error": gone, "late_result": late},
        {"attempt": 2, "state": "failed", "worker": "w2", "error": None},
    ]
    error = {"type": "ValueError", "message": "no", "traceback": "Traceback …\n  line"}
    seen = a_run("failed", attempts=attempts, error=error, log={"bytes": 2048, "truncated": True})
    server.on("GET", f"/runs/{RUN_ID}", Canned(seen))

    result = run("run", "show", RUN_ID)

    assert "worker vanished" in result.stdout
    assert "ValueError: no\n" in result.stdout
    assert f"2,048 bytes, cut in the middle: jobs-app run log {RUN_ID}" in result.stdout
    assert "Attempt 1 was given up as lost; its worker came back at " in result.stdout
    assert " with: succeeded\n" in result.stdout


def test_show_says_how_often_the_error_came_and_what_the_job_was(
    server: CannedServer, run: Run
) -> None:
    facts = {"revision": 7, "same_error": {"count": 12, "since": AT}}
    server.on("GET", f"/runs/{RUN_ID}", Canned(a_run("failed", **facts)), Canned(a_run("failed")))

    again, once = (" ".join(run("run", "show", RUN_ID).stdout.split()) for _ in range(2))

    assert "Revision 7 of the job" in again
    assert "Same error the 12th time since 2026-" in again
    assert "Same error" not in once


def test_show_lists_the_notifications_of_a_run(server: CannedServer, run: Run) -> None:
    notifications = [
        {"event": "late", "channel": "ops", "state": "sent", "sent_at": AT, "created_at": AT},
        {"event": "failed", "channel": "desk", "state": "pending", "created_at": AT}
        | {"sent_at": None, "error": "It answered 500."},
    ]
    server.on("GET", f"/runs/{RUN_ID}", Canned(a_run("failed", notifications=notifications)))

    lines = [" ".join(line.split()) for line in run("run", "show", RUN_ID).stdout.splitlines()]

    assert "NOTIFIED OF CHANNEL STATE WHEN ERROR" in lines
    assert any(line.startswith("late ops sent ") and line.endswith(" -") for line in lines)
    assert any(
        line.startswith("failed desk pending ") and line.endswith(" It answered 500.")
        for line in lines
    )


def test_show_says_where_a_task_asked_for_more_attempts(server: CannedServer, run: Run) -> None:
    server.on(
        "GET",
        f"/runs/{RUN_ID}",
        Canned(a_run("succeeded", attempt=1, max_attempts=3)),
        Canned(a_run("succeeded", attempt=3, max_attempts=1)),
    )

    usual, more = (run("run", "show", RUN_ID).stdout for _ in range(2))

    assert "Attempt     1 of 3\n" in usual
    assert " no time limit\n" in usual
    assert "Attempt     3: the task asked for more than the 1 of its job\n" in more


def test_show_of_a_run_without_notifications_has_no_table(server: CannedServer, run: Run) -> None:
    server.on("GET", f"/runs/{RUN_ID}", Canned(a_run("failed", notifications=[])))

    assert "CHANNEL" not in run("run", "show", RUN_ID).stdout


def test_a_reason_goes_with_a_cancel_and_is_shown(server: CannedServer, run: Run) -> None:
    over = a_run("cancelled", cancelled_by="ann", reason="the wrong month")
    server.on("POST", f"/runs/{RUN_ID}/cancel", Canned(over))
    server.on("GET", f"/runs/{RUN_ID}", Canned(over))

    run("run", "cancel", RUN_ID, "--reason", "the wrong month")
    words = run("run", "show", RUN_ID).stdout.split()

    assert server.requests[0].body == {"reason": "the wrong month"}
    assert " ".join(["Reason", "the", "wrong", "month"]) in " ".join(words)
    assert "Cancelled by ann" in " ".join(words)


def test_a_run_that_succeeded_in_spite_of_a_cancel_is_not_shown_as_cancelled(
    server: CannedServer, run: Run
) -> None:
    reason = "It was asked to end, and succeeded all the same."
    ended = Canned(a_run("succeeded", cancelled_by="ann", reason=reason))
    server.on("GET", f"/runs/{RUN_ID}", ended)
    server.on("POST", "/jobs/hello/runs", ended)

    shown = " ".join(run("run", "show", RUN_ID).stdout.split())
    waited = run("job", "run", "hello", "--wait").stdout

    assert f"Reason {reason} Asked to end by ann" in shown
    assert "Cancelled" not in shown
    assert waited == f"Run {RUN_ID} succeeded after 2.00 s.\n{reason}\n"


def test_a_reason_that_a_cancel_drops_is_not_dropped_in_silence(
    server: CannedServer, run: Run
) -> None:
    killed = Canned(a_run("running", cancelled_by="ann", reason="the wrong month"), 202)
    server.on("POST", f"/runs/{RUN_ID}/cancel", killed)

    second = run("run", "cancel", RUN_ID, "--reason", "too slow").stderr
    same = run("run", "cancel", RUN_ID, "--reason", "the wrong month").stderr

    assert "It was asked to end before: its reason stays 'the wrong month'." in second
    assert "its reason stays" not in same


def test_cancel_says_whether_the_run_is_over(server: CannedServer, run: Run) -> None:
    server.on(
        "POST",
        f"/runs/{RUN_ID}/cancel",
        Canned(a_run("cancelled")),
        Canned(a_run("running"), 202),
    )

    over, on_its_way = run("run", "cancel", RUN_ID), run("run", "cancel", RUN_ID, "--mode", "kill")

    assert over.stdout == f"Run {RUN_ID} is cancelled.\n"
    assert "its worker will end it" in on_its_way.stdout
    assert [request.body for request in server.requests] == [{}, {"mode": "kill"}]


def test_each_tenth_of_the_progress_is_a_line_too(server: CannedServer, run: Run) -> None:
    def at(fraction: float, message: str) -> Canned:
        progress = {"fraction": fraction, "message": message, "meta": None, "at": AT}
        return Canned(a_run("running", progress=progress))

    started(
        server,
        at(0.11, "row 1"),
        at(0.12, "row 2"),
        at(0.25, "row \x1b[31m3"),
        Canned(a_run("succeeded")),
    )

    result = run("job", "run", "hello", "--wait")

    lines = [line for line in result.stderr.splitlines() if "running" in line]
    assert lines == [
        f"Run {RUN_ID}: running, 11 %, row 1",
        f"Run {RUN_ID}: running, 25 %, row 3",
    ]


@pytest.mark.parametrize(
    "progress, line",
    [
        ({"fraction": 0.29, "message": "29 of 100", "meta": None}, "29 %, 29 of 100 ("),
        ({"fraction": None, "message": None, "meta": {"n": 1}}, '{"n": 1} ('),
        ({"fraction": 0.0, "message": None, "meta": None}, "0 % ("),
    ],
)
def test_a_run_shows_how_far_it_has_come(
    server: CannedServer, run: Run, progress: dict[str, object], line: str
) -> None:
    server.on("GET", f"/runs/{RUN_ID}", Canned(a_run("running", progress=progress | {"at": AT})))

    result = run("run", "show", RUN_ID)

    assert f"Progress    {line}" in result.stdout


def test_runs_are_not_filtered_by_a_trigger_that_nothing_makes(run: Run) -> None:
    result = run("run", "list", "--trigger", "backfill")

    assert result.exit_code == 2
    assert "'schedule'" in result.stderr


@pytest.mark.parametrize(
    "state, waits_for, expected",
    [
        ("queued", "slot", "queued (waits for a free slot)"),
        ("queued", "worker", "queued (no worker serves its queue)"),
        ("waiting", "run", "waiting (waits for another run of it)"),
        ("retrying", "retry", "retrying"),
        ("running", None, "running"),
    ],
)
def test_the_state_of_a_run_says_what_it_waits_for(
    server: CannedServer, run: Run, state: str, waits_for: str | None, expected: str
) -> None:
    waiting = a_run(state, waits_for=waits_for, started_at=None)
    server.on("GET", f"/runs/{RUN_ID}", Canned(waiting))
    server.on("GET", "/runs", page(waiting))

    shown, listed = run("run", "show", RUN_ID).stdout, run("run", "list").stdout

    assert f"State       {expected}\n" in shown
    assert f" {expected} " in listed
