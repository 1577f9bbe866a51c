"""The command line against a real installation: web server, scheduler and worker."""

import json
import re
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from jobs_app.accounts import admin_token
from jobs_app.cli import cli
from jobs_app.core.settings import Settings
from jobs_app.up.valkey import free_port
from tests.integration.system import System
from tests.servers import crowding, wait_until

Run = Callable[..., Result]


@pytest.fixture(scope="module")
def system(
    migrated_sqlite: Path, redis_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[System]:
    """A web server and a worker for all tests here; each test names its jobs differently.

    The command line behaves the same with either database, so one is enough.
    """
    folder = tmp_path_factory.mktemp("installation")
    shutil.copyfile(migrated_sqlite, folder / "jobs.db")
    settings = Settings(
        data_dir=folder, port=free_port(), redis_url=redis_url, redis_prefix="jobs-cli:"
    )
    admin_token.ensure_admin_token(settings)
    system = System(settings, folder)
    system.start("worker")
    system.start("web", "--port", str(settings.port))
    yield system
    system.stop()


@pytest.fixture
def run(system: System, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run `jobs-app` as someone at the same machine does."""
    monkeypatch.delenv("JOBS_URL", raising=False)
    monkeypatch.delenv("JOBS_TOKEN", raising=False)
    monkeypatch.setenv("JOBS_PORT", str(system.settings.port))
    monkeypatch.setenv("JOBS_DATA_DIR", str(system.settings.data_dir))

    def invoke(*arguments: str) -> Result:
        return CliRunner().invoke(cli, arguments, prog_name="jobs-app")

    wait_until(lambda: invoke("health").exit_code == 0, "the server is ready", timeout_seconds=30)
    return invoke


def answer(result: Result) -> dict[str, object]:
    """Return the JSON that a successful command printed."""
    assert result.exit_code == 0, result.output
    document: dict[str, object] = json.loads(result.stdout)
    return document


def test_a_job_is_created_run_read_edited_and_deleted(run: Run) -> None:
    created = run(
        *("job", "create", "hello", "--command", "echo out; echo err >&2"),
        *("--cron", "30 2 * * *", "--timezone", "Europe/Paris", "--tag", "billing"),
    )
    assert created.exit_code == 0, created.output
    assert created.stdout.startswith("Created hello: ")
    assert "hello" in run("job", "list", "--tag", "billing").stdout

    ran = run("job", "run", "hello", "--wait", "--note", "by hand")
    assert ran.exit_code == 0, ran.output
    match = re.search(r"Run (\S+) succeeded", ran.stdout)
    assert match is not None
    assert sorted(run("run", "log", match[1]).stdout.splitlines()) == ["err", "out"]
    assert "by hand" in run("run", "show", match[1]).stdout
    assert match[1] in run("run", "list", "--job", "hello", "--state", "succeeded").stdout

    view = run("job", "show", "hello")
    assert "Europe/Paris" in view.stdout
    assert match[1] in view.stdout

    assert run("job", "edit", "hello", "--every", "1h", "--max-attempts", "3").exit_code == 0
    edited = answer(run("job", "show", "hello", "--json"))
    assert edited["schedule"] == {
        "interval_seconds": 3600,
        "anchor_at": str(edited["updated_at"]).partition(".")[0] + "Z",
        "timezone": "Europe/Paris",
        "start_at": None,
        "end_at": None,
        "jitter_seconds": 0,
    }
    assert edited["tags"] == ["billing"]
    assert run("job", "edit", "hello", "--manual").exit_code == 0

    assert run("job", "delete", "hello", "--yes").exit_code == 0
    assert run("job", "show", "hello").exit_code == 3


def test_the_outcome_of_the_run_is_the_exit_code(run: Run) -> None:
    run("job", "create", "fails", "--command", "echo reason; exit 7", "--manual")
    run("job", "create", "hangs", "--command", "sleep 60", "--time-limit", "1s", "--manual")

    failed = run("job", "run", "fails", "--wait")
    timed_out = run("job", "run", "hangs", "--wait")

    assert failed.exit_code == 7
    assert "reason" in failed.stdout
    assert timed_out.exit_code == 124


def test_a_log_is_followed_with_the_outcome_of_its_run(run: Run) -> None:
    run("job", "create", "tells", "--command", "echo out; echo err >&2; exit 7", "--manual")

    followed = run("job", "run", "tells", "--wait", "--follow")

    assert followed.stdout == "out\n"
    assert followed.stderr.startswith("err\nRun ")
    assert followed.exit_code == 7
    match = re.search(r"Run (\S+): failed", followed.stderr)
    assert match is not None
    assert run("run", "log", "-f", match[1]).stdout == "out\n"


def test_a_line_is_on_the_screen_within_a_second_of_being_written(run: Run, system: System) -> None:
    command = "for i in 1 2 3 4 5; do date +%s.%N; sleep 0.7; done"
    run("job", "create", "ticks", "--command", command, "--manual")
    started = answer(run("job", "run", "ticks", "--json"))
    follow = [sys.executable, "-m", "jobs_app", "run", "log", "-f", str(started["id"])]
    with subprocess.Popen(follow, stdout=subprocess.PIPE, text=True) as following:
        assert following.stdout is not None
        delays = [time.time() - float(line) for line in following.stdout]

    assert following.returncode == 0
    assert len(delays) == 5
    # The median: the client may have connected after the first line.
    assert statistics.median(delays) < crowding(), delays


def test_a_run_is_cancelled(run: Run) -> None:
    run("job", "create", "long", "--command", "sleep 60", "--manual")
    started = answer(run("job", "run", "long", "--json"))

    cancelled = run("run", "cancel", str(started["id"]), "--mode", "kill")

    assert cancelled.exit_code == 0, cancelled.output
    wait_until(
        lambda: "cancelled" in run("run", "show", str(started["id"])).stdout,
        "the run is cancelled",
        timeout_seconds=20,
    )
    assert run("run", "cancel", str(started["id"])).exit_code in {0, 4}


def test_a_pause_is_seen_and_lifted(run: Run) -> None:
    run("job", "create", "rests", "--command", "date", "--every", "1h")

    run("job", "pause", "rests", "--reason", "on holiday")

    assert "on holiday" in run("job", "show", "rests").stdout
    assert run("job", "resume", "rests").exit_code == 0
    assert answer(run("job", "show", "rests", "--json"))["state"] == "active"


@pytest.mark.nightly
def test_an_exported_job_can_be_created_again(run: Run, tmp_path: Path) -> None:
    run("job", "create", "original", "--command", "date", "--every", "5m", "--jitter", "10s")
    document = tmp_path / "job.json"
    document.write_text(run("job", "show", "original", "--json").stdout)

    copied = run("job", "create", "copy", "--from", str(document))

    assert copied.exit_code == 0, copied.output
    original, copy = (answer(run("job", "show", n, "--json")) for n in ("original", "copy"))
    assert copy["schedule"] == original["schedule"]


def test_a_refusal_of_the_server_names_the_field(run: Run) -> None:
    bad = run("job", "create", "bad", "--command", "date", "--cron", "61 * * * *")

    assert bad.exit_code == 2
    assert "--cron: minute 61" in bad.stderr
    run("job", "create", "taken", "--command", "date")
    assert run("job", "create", "taken", "--command", "date").exit_code == 4


def test_a_dry_run_changes_nothing(run: Run) -> None:
    run("job", "create", "previewed", "--command", "date", "--cron", "30 2 * * *")

    tried = run("job", "edit", "previewed", "--cron", "45 3 * * *", "--dry-run")

    assert tried.exit_code == 0, tried.output
    assert "03:45:00" in tried.stdout
    assert "02:30:00" in tried.stdout
    schedule = answer(run("job", "show", "previewed", "--json"))["schedule"]
    assert isinstance(schedule, dict)
    assert schedule["cron"] == "30 2 * * *"


def test_a_preview_needs_no_job(run: Run) -> None:
    preview = run(
        *("schedule", "preview", "30 2 * * *", "--timezone", "America/New_York"),
        *("--start-at", "2027-03-13T12:00:00Z", "--count", "2"),
    )

    assert preview.exit_code == 0, preview.output
    assert "Sun 2027-03-14 03:00:00 -04:00" in preview.stdout
    assert "go forward" in preview.stdout


def test_a_command_without_a_token_is_refused(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JOBS_DATA_DIR", str(tmp_path / "elsewhere"))

    result = run("job", "list")

    assert result.exit_code == 5
    assert "JOBS_TOKEN" in result.stderr
