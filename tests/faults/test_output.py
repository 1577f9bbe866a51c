"""What a task writes, in whatever way, is in its own run's log, all of it and nothing else."""

import collections
import re
import threading
from collections.abc import Callable

import psutil
import pytest

from jobs_app.core.states import RunState
from jobs_app.db.models.runs import Run
from jobs_app.runs import history
from tests.faults.bad_tasks import DEEPER_WAYS, WAYS
from tests.faults.installation import Installation
from tests.faults.test_bad_tasks import TASKS, start
from tests.profiles import threads_nightly
from tests.servers import wait_until

LINES = 30


def chunks_of(installation: Installation, run: Run) -> list[tuple[str, str]]:
    with installation.database.reading() as session:
        found = history.log(session, run.id, attempt=1)
    return [(chunk.stream, chunk.text) for chunk in found]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("pool", ["prefork", "threads"])
def test_runs_at_the_same_time_and_after_each_other_never_mix_their_output(
    make_installation: Callable[..., Installation], database_url: str, pool: str
) -> None:
    installation = make_installation(
        database_url, imports=TASKS, worker_pool=pool, worker_concurrency=4
    )
    installation.start_ready("worker")
    deeper = pool == "prefork"
    ids = {
        f"<{name}>": start(installation, "talks", mark=f"<{name}>", lines=LINES, deeper=deeper)
        for name in ("ann", "bob", "cleo", "dan", "eve", "finn", "gus", "hal")
    }

    ended = {mark: installation.wait_for_end(run_id) for mark, run_id in ids.items()}

    together = [
        (one.started_at, other.started_at)
        for one in ended.values()
        for other in ended.values()
        if one is not other
        and one.finished_at is not None
        and other.started_at is not None
        and one.started_at is not None
        and one.started_at <= other.started_at < one.finished_at
    ]
    assert together, "none ran beside another: the test proves nothing"
    for mark, run in ended.items():
        assert run.state is RunState.SUCCEEDED, run.error
        chunks = chunks_of(installation, run)
        text = "".join(text for _, text in chunks)
        other_marks = [other for other in ended if other != mark and other in text]
        assert not other_marks, f"{mark} has lines of {other_marks}"
        lines = collections.Counter(found for found in re.findall(rf"{mark} (\w+) \d+", text))
        once = dict.fromkeys(("child", "childerr", "fork"), 1)
        wanted = dict.fromkeys(WAYS + DEEPER_WAYS * deeper, LINES) | (once if deeper else {})
        assert lines == wanted, mark
        of_stream = {
            stream: {way for s, t in chunks if s == stream for way in re.findall(r"> (\w+) \d", t)}
            for stream in ("stdout", "stderr")
        }
        assert of_stream["stderr"] == {"stderr", "logging", "warning"} | (
            {"childerr"} if deeper else set()
        )
        assert of_stream["stdout"] == set(wanted) - of_stream["stderr"]
    assert "<ann>" not in installation.log("worker")


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("megabytes", [100, pytest.param(2_000, marks=pytest.mark.chaos)])
def test_a_job_that_never_stops_writing_costs_flat_memory_and_keeps_head_and_tail(
    make_installation: Callable[..., Installation], database_url: str, megabytes: int
) -> None:
    installation = make_installation(database_url, worker_concurrency=1)
    worker = installation.start_ready("worker")
    # The first run makes what every run needs.
    installation.wait_for_end(installation.start_run("shell", command="yes warm | head -c 3000000"))
    before, most = memory(worker.pid), collections.defaultdict[int, int](int)
    is_over = threading.Event()

    def measure() -> None:
        while not is_over.wait(0.05):
            for pid, size in memory(worker.pid).items():
                most[pid] = max(most[pid], size)

    measuring = threading.Thread(target=measure)
    measuring.start()
    line = "0123456789abcdef " * 6
    command = f"echo FIRST; yes '{line}' | head -c {megabytes}000000; echo; echo LAST"

    run = installation.wait_for_end(installation.start_run("shell", command=command), seconds=240)
    is_over.set()
    measuring.join()

    grown = {pid: size - before[pid] for pid, size in most.items() if pid in before}
    assert len(grown) >= 2
    assert max(grown.values()) < 30_000_000, grown
    # The supervisor and the command are new: they hold nothing either.
    assert max(most.values()) < max(before.values()) + 30_000_000
    assert run.state is RunState.SUCCEEDED
    assert run.log_truncated
    assert run.log_bytes > megabytes * 1_000_000
    text = "".join(text for _, text in chunks_of(installation, run))
    assert text.startswith("FIRST\n0123456789")
    assert text.endswith("\nLAST\n")
    assert 500_000 < len(text) <= 1_048_576
    # The run has ended: both instants are there.
    print(f"{megabytes} MB in {run.finished_at - run.started_at}")  # type: ignore[operator]


def memory(worker_pid: int) -> dict[int, int]:
    """Return the resident memory of a worker and all that lives below it, by process."""
    main = psutil.Process(worker_pid)
    found = {}
    for process in [main, *main.children(recursive=True)]:
        try:
            found[process.pid] = process.memory_info().rss
        except psutil.NoSuchProcess:
            continue
    return found


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_what_a_task_writes_is_stored_while_it_runs(
    make_installation: Callable[..., Installation], database_url: str
) -> None:
    installation = make_installation(database_url, imports=TASKS, worker_concurrency=1)
    installation.start_ready("worker")
    run_id = start(installation, "talks", mark="<ann>", lines=200)
    running = installation.wait_for(run_id, lambda run: run.state is RunState.RUNNING, "it runs")

    def ways() -> set[str]:
        text = "".join(text for _, text in chunks_of(installation, running))
        return {way for way in WAYS + DEEPER_WAYS if f"<ann> {way}" in text}

    # C's own buffer is written out at the end of the run.
    early = {*WAYS, "descriptor", "thread"}
    wait_until(lambda: ways() >= early, "all of it is there")
    assert installation.run(run_id).state is RunState.RUNNING


LOGGING_TASKS = "tests.faults.logging_tasks"


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("pool", ["prefork", threads_nightly])
def test_loggers_that_a_module_sets_up_at_import_are_heard_once(
    make_installation: Callable[..., Installation], database_url: str, pool: str
) -> None:
    installation = make_installation(
        database_url, imports=LOGGING_TASKS, worker_pool=pool, worker_concurrency=1
    )
    installation.start_ready("worker")
    for mark in ("<ann>", "<bob>"):
        run_id = installation.start_run(f"{LOGGING_TASKS}.logs", mark=mark)

        run = installation.wait_for_end(run_id)

        assert run.state is RunState.SUCCEEDED, run.error
        text = "".join(text for _, text in chunks_of(installation, run))
        assert text.splitlines() == [f"{mark} ledger", f"SHORT {mark} plain", f"{mark} early"]
    own = installation.log("worker")
    assert "<ann>" not in own
    assert own.count("run_started") == 2


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_programs_that_are_given_the_streams_of_a_task_write_to_its_log(
    make_installation: Callable[..., Installation], database_url: str
) -> None:
    installation = make_installation(database_url, imports=LOGGING_TASKS, worker_concurrency=1)
    installation.start_ready("worker")
    for mark in ("<ann>", "<bob>"):
        run_id = installation.start_run(f"{LOGGING_TASKS}.gives_its_streams_away", mark=mark)

        run = installation.wait_for_end(run_id)

        assert run.state is RunState.SUCCEEDED, run.error
        text = "".join(text for _, text in chunks_of(installation, run))
        assert text.splitlines() == [f"{mark} {number}" for number in range(1, 7)]
    assert "<ann>" not in installation.log("worker")
