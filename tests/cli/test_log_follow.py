"""`jobs-app run log --follow`: each line once, where it belongs, and the run's own outcome."""

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from click.testing import Result

from tests.cli.canned import RUN_ID, Canned, CannedServer, a_run, problem
from tests.cli.test_wait import read_all, terminal

Run = Callable[..., Result]

STREAM = f"/runs/{RUN_ID}/log/stream"
AT = "2026-11-01T00:00:01.500000Z"


def chunk(seq: int, text: str, *, stream: str = "stdout", attempt: int = 1) -> str:
    data = {"seq": seq, "attempt": attempt, "stream": stream, "at": AT, "text": text}
    return event("chunk", data, event_id=f"{attempt}-{seq}")


def event(name: str, data: dict[str, Any], *, event_id: str | None = None) -> str:
    last = f"id: {event_id}\n" if event_id else ""
    return f"event: {name}\ndata: {json.dumps(data)}\n{last}\n"


END = event("end", {"state": "whatever"})


def streamed(*events: str) -> Canned:
    body = "retry: 1000\n\n: nothing new\n\n" + "".join(events)
    return Canned(body.encode(), headers={"Content-Type": "text/event-stream; charset=utf-8"})


def served(server: CannedServer, *streams: Canned, **ended: Any) -> None:
    """Let the run be followed as *streams* have it, and be over as *ended* says."""
    server.on("GET", STREAM, *streams)
    server.on("GET", f"/runs/{RUN_ID}", Canned(a_run(**ended)))


def test_each_stream_of_the_run_goes_to_its_own(server: CannedServer, run: Run) -> None:
    served(
        server,
        streamed(
            chunk(0, "out \x1b[31mé\u2028\r\n"),
            chunk(1, "err\n", stream="stderr"),
            chunk(2, "!"),
            END,
        ),
    )

    result = run("run", "log", "-f", RUN_ID)

    assert result.stdout_bytes == "out \x1b[31mé\u2028\r\n!".encode()
    assert result.stderr == f"err\nRun {RUN_ID}: succeeded\n"
    assert result.exit_code == 0


@pytest.mark.parametrize(
    "state, command_code, exit_code",
    [("succeeded", 0, 0), ("failed", 3, 3), ("timed_out", None, 124), ("cancelled", None, 1)],
)
def test_the_outcome_of_the_run_is_the_exit_code(
    server: CannedServer, run: Run, state: str, command_code: int | None, exit_code: int
) -> None:
    served(server, streamed(END), state=state, exit_code=command_code)

    assert run("run", "log", "--follow", RUN_ID).exit_code == exit_code


def test_after_a_break_it_goes_on_where_it_was(server: CannedServer, run: Run) -> None:
    served(
        server,
        streamed(chunk(0, "one\n")),
        problem(503, code="too_many_streams", detail="All of the 5 streams are in use."),
        streamed(event("cut", {"attempt": 1, "bytes": 1200}, event_id="1-7")),
        streamed(chunk(8, "two\n"), END),
    )

    result = run("run", "log", "-f", RUN_ID)

    assert result.stdout == "one\ntwo\n"
    asked = [r.headers.get("Last-Event-ID") for r in server.requests if r.path.endswith("stream")]
    assert asked == [None, "1-0", "1-0", "1-7"]
    assert "All of the 5 streams are in use. Trying again." in result.stderr
    assert "… 1,200 bytes cut …" in result.stderr


def test_the_next_attempt_is_announced(server: CannedServer, run: Run) -> None:
    served(server, streamed(chunk(0, "a\n"), chunk(0, "b\n", attempt=2), END))

    result = run("run", "log", "-f", RUN_ID)

    assert result.stdout == "a\nb\n"
    assert "Attempt 2:" in result.stderr


def test_timestamps_stand_before_each_line_and_not_within_one(
    server: CannedServer, run: Run
) -> None:
    served(server, streamed(chunk(0, "one\ntw"), chunk(1, "o\nthree\n"), END))

    result = run("run", "log", "-f", "--timestamps", RUN_ID)

    assert result.stdout == f"{AT} one\n{AT} two\n{AT} three\n"


def test_a_terminal_gets_colours_and_nothing_else_that_drives_it(server: CannedServer) -> None:
    served(
        server,
        streamed(
            chunk(0, "\x1b[3"),  # a sequence that is cut by the end of a chunk
            chunk(1, "1mred\x1b]0;title\x07\x1b[2J\x9b5m\r"),
            chunk(2, "\nend\n"),
            END,
        ),
    )

    with terminal("run", "log", "-f", RUN_ID) as (screen, process):
        output = read_all(screen)

    assert output == f"\x1b[31mred\r\nend\r\n\x1b[0mRun {RUN_ID}: succeeded\r\n"
    assert process.returncode == 0


def test_without_colours_a_terminal_gets_none(server: CannedServer) -> None:
    served(server, streamed(chunk(0, "\x1b[31mred\n"), END))

    with terminal("run", "log", "-f", RUN_ID, term="dumb") as (screen, _):
        output = read_all(screen)

    assert "\x1b" not in output


def test_a_run_that_is_not_there_has_exit_code_3(server: CannedServer, run: Run) -> None:
    gone = problem(404, code="run_not_found", detail="There is no such run.")
    server.on("GET", f"/runs/{RUN_ID}", gone)

    assert run("run", "log", "-f", RUN_ID).exit_code == 3


@pytest.mark.parametrize(
    "arguments", [("-f", "--tail", "9"), ("-f", "--attempt", "1"), ("--timestamps",)]
)
def test_options_that_do_not_go_together_are_refused(run: Run, arguments: tuple[str, ...]) -> None:
    assert run("run", "log", RUN_ID, *arguments).exit_code == 2


def test_ctrl_c_stops_the_following_and_not_the_run(server: CannedServer) -> None:
    served(server, streamed(chunk(0, "one\n")), streamed())
    following = subprocess.Popen(
        [sys.executable, "-m", "jobs_app", "run", "log", "-f", RUN_ID],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert following.stdout is not None
    assert following.stdout.readline() == "one\n"

    following.send_signal(signal.SIGINT)
    _, errors = following.communicate(timeout=10)

    assert following.returncode == 130
    assert errors.startswith("jobs-app: Stopped following. The run goes on;")
    assert f"jobs-app run show {RUN_ID}" in errors
    assert {request.method for request in server.requests} == {"GET"}


def test_a_job_is_run_and_followed(server: CannedServer, run: Run) -> None:
    server.on("POST", "/jobs/hello/runs", Canned(a_run("queued"), 202))
    error = {"type": "CommandFailed", "message": "exit code 3", "traceback": None}
    served(server, streamed(chunk(0, "working\n"), END), state="failed", exit_code=3, error=error)

    result = run("job", "run", "hello", "--wait", "--follow")

    assert result.stdout == "working\n"
    assert result.stderr == f"Run {RUN_ID}: failed, CommandFailed: exit code 3\n"
    assert result.exit_code == 3


def test_following_ends_with_124_when_its_time_is_over(server: CannedServer, run: Run) -> None:
    server.on("POST", "/jobs/hello/runs", Canned(a_run("queued"), 202))
    served(server, streamed(), state="running")

    result = run("job", "run", "hello", "--wait", "-f", "--timeout", "0.3")

    assert result.exit_code == 124
    assert "has not ended" in result.stderr
