"""A forked process is what `python -m` would have made."""

import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.forking import ForkedProcess, Forker
from tests.servers import is_alive, wait_until

STAND_IN = """
import json, os, signal, sys

match sys.argv[1]:
    case "tell":
        death_pipe = int(os.environ["DEATH_PIPE"])
        report = {
            "name": __name__, "arguments": sys.argv[1:], "environment": dict(os.environ),
            "directory": os.getcwd(), "path": sys.path[0], "leads": os.getsid(0) == os.getpid(),
            "descriptors": sorted(map(int, os.listdir("/proc/self/fd"))),
            "death_pipe": os.readlink(f"/proc/self/fd/{death_pipe}"),
        }
        print(json.dumps(report))
    case "exit":
        print("complaint", file=sys.stderr)
        sys.exit(int(sys.argv[2]))
    case "wait":
        signal.pause()
"""

Start = Callable[..., ForkedProcess]


@pytest.fixture(scope="module")
def forker() -> Iterator[Forker]:
    forker = Forker()
    yield forker
    forker.close()


@pytest.fixture
def death_pipe() -> Iterator[int]:
    reading, writing = os.pipe()
    yield reading
    os.close(writing)
    os.close(reading)


@pytest.fixture
def start(
    forker: Forker, death_pipe: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Start:
    """Starts a module with these arguments; what it prints is in `output`."""
    (tmp_path / "stand_in.py").write_text(STAND_IN)
    monkeypatch.chdir(tmp_path)

    def started(*arguments: str) -> ForkedProcess:
        with (tmp_path / "output").open("wb") as output:
            return forker.start(
                "stand_in",
                arguments,
                environment={"DEATH_PIPE": str(death_pipe), "COLOUR": "blue"},
                output=output,
                death_pipe_fd=death_pipe,
            )

    return started


def test_it_has_what_it_was_given_and_nothing_else(
    start: Start, death_pipe: int, tmp_path: Path
) -> None:
    assert start("tell", "a b").wait(timeout=30) == 0

    report: dict[str, Any] = json.loads((tmp_path / "output").read_text())
    assert report["name"] == "__main__"
    assert report["arguments"] == ["tell", "a b"]
    assert report["environment"] == {"DEATH_PIPE": str(death_pipe), "COLOUR": "blue"}
    assert (report["directory"], report["path"]) == (str(tmp_path), str(tmp_path))
    assert report["leads"]
    assert report["death_pipe"] == os.readlink(f"/proc/self/fd/{death_pipe}")
    # One more is that of the folder that it lists.
    assert set(report["descriptors"]) >= {0, 1, 2, death_pipe}
    assert len(report["descriptors"]) == 5


@pytest.mark.parametrize("code", [0, 3])
def test_its_exit_code_and_its_errors_are_seen(start: Start, tmp_path: Path, code: int) -> None:
    process = start("exit", str(code))

    assert process.wait(timeout=30) == code
    assert process.poll() == code
    assert (tmp_path / "output").read_text() == "complaint\n"


def test_it_ends_by_a_signal_and_says_by_which(start: Start) -> None:
    process = start("wait")
    assert process.poll() is None
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(timeout=0.01)

    process.kill()

    assert process.wait(timeout=30) == -signal.SIGKILL
    wait_until(lambda: not is_alive(process.pid), "it is gone")
    # There is nobody left to get it.
    process.terminate()


def test_one_that_nobody_waits_for_is_no_obstacle_to_the_next(start: Start) -> None:
    first, second = start("wait"), start("wait")
    first._status.close()

    os.kill(first.pid, signal.SIGKILL)
    second.kill()

    assert second.wait(timeout=30) == -signal.SIGKILL
    assert start("exit", "0").wait(timeout=30) == 0
