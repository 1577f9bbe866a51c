"""The job's policy or the task itself asks for attempts; each has its error, times and log."""

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner

from jobs_app.accounts import admin_token
from jobs_app.cli import cli
from jobs_app.core import clock
from jobs_app.core.states import RunState
from jobs_app.db.models.runs import Run
from jobs_app.runs import history
from jobs_app.runs.retry import RetryPolicy
from jobs_app.up.valkey import free_port
from tests.integration.system import System
from tests.integration.test_main_job import log_of
from tests.servers import crowding, wait_until

TASKS = "tests.integration.retrying_tasks"


@pytest.fixture
def retrying(make_system: Callable[..., System]) -> System:
    """An installation whose worker knows the tasks that ask for retries."""
    system = make_system(imports=TASKS, worker_concurrency=4)
    system.start("scheduler")
    system.start("worker")
    return system


def with_attempts(system: System, run: Run) -> Run:
    with system.database.reading() as session:
        return history.get(session, run.id)


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_each_way_of_celery_to_retry_a_task_makes_attempts(retrying: System) -> None:
    ids = {
        "counts_up": retrying.start_run(f"{TASKS}.counts_up", n=1),
        "countdown": retrying.start_run(f"{TASKS}.waits", how="countdown"),
        "eta": retrying.start_run(f"{TASKS}.waits", how="eta"),
        **{
            name: retrying.start_run(f"{TASKS}.{name}")
            for name in ("gives_up", "goes_on", "backs_off", "wants_no_result", "refuses")
        },
        "fails_by_hand": retrying.start_run(f"{TASKS}.fails_by_hand"),
        "is_replaced": retrying.start_run(f"{TASKS}.is_replaced"),
    }

    ended = {
        name: with_attempts(retrying, retrying.wait_for_end(run_id, seconds=40))
        for name, run_id in ids.items()
    }

    assert {name: (str(run.state), run.attempt, run.result) for name, run in ended.items()} == {
        "counts_up": ("succeeded", 3, 3),
        "countdown": ("succeeded", 2, 1),
        "eta": ("succeeded", 2, 1),
        "gives_up": ("failed", 2, None),
        "goes_on": ("succeeded", 2, "done"),
        "backs_off": ("failed", 3, None),
        "wants_no_result": ("succeeded", 1, None),
        "fails_by_hand": ("failed", 1, None),
        "refuses": ("failed", 1, None),
        "is_replaced": ("succeeded", 1, 13),
    }
    counted = ended["counts_up"]
    logs = [log_of(retrying, counted.id, attempt) for attempt in (1, 2, 3)]
    assert logs == ["called with 1\n", "called with 2\n", "called with 3\n"]
    assert log_of(retrying, ended["goes_on"].id, 1) == "went on\n"
    assert ended["gives_up"].error is not None
    assert ended["gives_up"].error["message"] == "no such file"
    assert ended["wants_no_result"].reason is not None
    for name in ("countdown", "eta"):
        assert pauses_of(ended[name])[0] >= timedelta(seconds=1.9), name
    first_pause, second_pause = pauses_of(ended["backs_off"])
    assert first_pause >= timedelta(seconds=1)
    assert second_pause >= timedelta(seconds=2)


def pauses_of(run: Run) -> list[timedelta]:
    """Return the pause before each attempt but the first."""
    begun = [*(attempt.started_at for attempt in run.attempts[1:]), run.started_at]
    return [
        start - attempt.finished_at
        for attempt, start in zip(run.attempts, begun, strict=True)
        if start is not None
    ]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_task_that_a_task_sends_runs_as_with_any_celery(retrying: System, tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    run = retrying.wait_for_end(retrying.start_run(f"{TASKS}.sends_others", file=str(trace)))

    assert run.result == "sent"
    wait_until(
        lambda: trace.exists() and len(trace.read_text().splitlines()) == 3,
        "chain and group have run",
    )
    assert sorted(trace.read_text().splitlines()) == ["6", "left", "right"]
    # They are not runs: no job or person started them.
    assert len(retrying.runs()) == 1


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_each_attempt_shows_its_error_its_times_and_its_log(
    make_system: Callable[..., System], monkeypatch: pytest.MonkeyPatch
) -> None:
    system = make_system(port=free_port())
    system.settings.data_dir.mkdir(exist_ok=True)
    admin_token.ensure_admin_token(system.settings)
    for name in ("scheduler", "worker", "web"):
        system.start(name)
    policy = RetryPolicy(max_attempts=3, delay_seconds=1, backoff="exponential", jitter=False)
    at = clock.now() + timedelta(seconds=1)
    command = "echo attempt $JOBS_ATTEMPT; exit $JOBS_ATTEMPT"
    job = system.create(task="shell", kwargs={"command": command}, once_at=at, retry=policy)
    wait_until(lambda: system.runs(job), "it fires", timeout_seconds=20)
    run = system.wait_for_end(system.runs(job)[0].id, seconds=40)
    monkeypatch.delenv("JOBS_URL", raising=False)
    monkeypatch.delenv("JOBS_TOKEN", raising=False)
    monkeypatch.setenv("JOBS_PORT", str(system.settings.port))
    monkeypatch.setenv("JOBS_DATA_DIR", str(system.settings.data_dir))

    def call(*arguments: str) -> str:
        result = CliRunner().invoke(cli, arguments, prog_name="jobs-app")
        assert result.exit_code == 0, result.output
        return result.stdout

    document = json.loads(call("run", "show", str(run.id), "--json"))
    text = call("run", "show", str(run.id))
    logs = [call("run", "log", str(run.id), "--attempt", str(number)) for number in (1, 2, 3)]

    assert (run.state, run.attempt, run.exit_code) == (RunState.FAILED, 3, 3)
    assert [(a["attempt"], a["state"], a["exit_code"]) for a in document["attempts"]] == [
        (1, "failed", 1),
        (2, "failed", 2),
        (3, "failed", 3),
    ]
    for attempt in document["attempts"]:
        assert attempt["error"]["message"].endswith(f"exit code {attempt['attempt']}.")
        assert attempt["started_at"] < attempt["finished_at"]
        assert attempt["worker"]
        assert attempt["late_result"] is None
    assert logs == ["attempt 1\n", "attempt 2\n", "attempt 3\n"]
    assert "exit code 1." in text
    first_pause, second_pause = pauses_of(with_attempts(system, run))
    assert timedelta(seconds=1) <= first_pause < timedelta(seconds=1 + 3 * crowding())
    assert timedelta(seconds=2) <= second_pause < timedelta(seconds=2 + 4 * crowding())
