"""`jobs-app up --reload` starts the processes anew with code that can be imported, and no other."""

import signal
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from jobs_app.up import reload
from jobs_app.up.programs import ChildProcess
from jobs_app.up.source_files import SourceFiles
from tests.servers import wait_until
from tests.up.conftest import IGNORES_TERM, Scene, Up, pid_of

MODULE = "reloaded_tasks"
CHECK = "import os, sys; sys.exit(os.path.exists(sys.argv[1] + '.broken'))"


class Files(SourceFiles):
    """Files that change when the test says so."""

    def __init__(self) -> None:
        self.next: list[Path] = []

    def changes(self) -> list[Path]:
        changes, self.next = self.next, []
        return changes


@pytest.fixture
def files() -> Files:
    return Files()


@pytest.fixture
def reloader(scene: Scene, files: Files) -> Iterator[reload.Reloader]:
    """Replaces a worker and a web server; the check of the code ends as the log's folder says."""
    check = scene.program("check", CHECK)
    reloader = reload.Reloader(
        files, scene.supervisor, check.successor, beside=["worker"], after=["web"]
    )
    yield reloader
    reloader.close()


def test_new_code_runs_beside_the_old_one_until_that_has_ended(
    scene: Scene, files: Files, reloader: reload.Reloader, capfd: pytest.CaptureFixture[str]
) -> None:
    scene.child("worker", IGNORES_TERM, grace=0.1)
    web = scene.child("web")
    old_web = pid_of(web)

    def is_replaced() -> bool:
        reloader.look()
        return len(scene.lines("started")) == 4

    files.next = [Path("/a/tasks.py"), *(Path.cwd() / f"{name}.py" for name in "abc")]
    scene.look_after_until(is_replaced, "both have started again")

    assert scene.lines("started")[2:] == ["worker", "web"]
    # The worker works on; the address of the web server was free before.
    assert scene.lines("stopped") == ["web"]
    assert pid_of(web) != old_web
    [old_worker] = scene.supervisor._leaving
    old_worker.send(signal.SIGKILL)
    scene.look_after_until(lambda: not scene.supervisor._leaving, "the old worker is gone")
    output = capfd.readouterr().err
    # Sorted, and as one types them.
    assert "reload: /a/tasks.py, a.py, b.py and 1 other file changed" in output
    assert "starting it again" not in output


def test_code_that_cannot_be_imported_replaces_nothing(
    scene: Scene, files: Files, reloader: reload.Reloader, capfd: pytest.CaptureFixture[str]
) -> None:
    scene.child("worker")
    scene.child("web")
    seen: list[str] = []
    Path(f"{scene.log}.broken").touch()

    def is_refused() -> bool:
        reloader.look()
        seen.append(capfd.readouterr().err)
        return "so the old code stays" in "".join(seen)

    files.next = [Path("/srv/shop/tasks.py")]
    scene.look_after_until(is_refused, "the check has ended")
    reloader.look()

    assert scene.lines("started") == ["worker", "web"]
    assert scene.lines("stopped") == []


def test_a_change_during_the_check_starts_it_anew(
    scene: Scene, files: Files, reloader: reload.Reloader
) -> None:
    scene.child("worker")
    scene.child("web")
    checks: list[ChildProcess] = []

    def make_check() -> ChildProcess:
        checks.append(scene.program("check"))
        return checks[-1]

    reloader._make_check = make_check

    for _ in range(2):
        files.next = [Path("/srv/shop/tasks.py")]
        reloader.look()
        reloader.look()

    assert len(checks) == 2
    assert checks[0].exit_code() == -signal.SIGKILL
    assert checks[1].exit_code() is None


def test_a_change_of_a_module_reaches_the_processes(make_up, tmp_path: Path) -> None:
    up: Up = make_up("--reload")
    module = tmp_path / f"{MODULE}.py"
    module.write_text("x = 1\n")
    up.environment |= {
        "JOBS_IMPORTS": MODULE,
        "PYTHONPATH": f"{tmp_path}:{up.environment['PYTHONPATH']}",
    }
    up.start_and_wait()

    def started_twice(name: str) -> bool:
        return len(up.pids(name)) == 2

    module.write_text("x = 1 +\n")
    wait_until(lambda: "so the old code stays" in up.printed, "the error is printed")
    assert "SyntaxError" in up.printed
    assert f"import_failed module={MODULE}" in up.printed
    assert len(up.pids("worker")) == 1
    module.write_text("x = 2\n")
    for name in ("worker", "scheduler", "web"):
        wait_until(partial(started_twice, name), f"the {name} was started again")

    up.process.send_signal(signal.SIGTERM)
    assert up.exit_code() == 0
    stopped = [name for name, what, _ in up.notes() if what == "stopped"]
    assert sorted(stopped) == sorted(["scheduler", "web", "worker"] * 2)


def test_without_modules_there_is_nothing_to_reload(make_up) -> None:
    up: Up = make_up("--reload").start()

    assert up.exit_code() == 2
    assert "--reload: JOBS_IMPORTS names no module" in up.printed
