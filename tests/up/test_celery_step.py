"""The step that `jobs_app.integrate` adds to a worker keeps one process running, and ends it."""

import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from celery import Celery
from celery.worker import state

import jobs_app
from jobs_app.up import celery_step
from jobs_app.up.celery_step import Integration, JobsWorker
from tests.running import pid_in
from tests.servers import is_alive, wait_until

#: Writes its process id into a file, notes each TERM, and ends as its arguments say.
PROGRAM = """
import os, signal, sys, time
from pathlib import Path
from jobs_app.up.parent_death import die_with_parent
folder, how = Path(sys.argv[1]), sys.argv[2]
die_with_parent()
if how == "stubborn":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGQUIT, lambda *_: (folder / "quit").touch())
def end_slowly(*_):
    time.sleep(0.3)
    (folder / "ended").touch()
    os._exit(0)
if how == "slow":
    signal.signal(signal.SIGTERM, end_slowly)
(folder / "imports").write_text(os.environ["JOBS_IMPORTS"])
(folder / f"pid-{len(list(folder.glob('pid-*')))}").write_text(f"{os.getpid()}\\n")
if how == "ends":
    sys.exit(3)
time.sleep(60)
"""


@pytest.fixture
def app() -> Celery:
    return Celery("shop", set_as_current=False)


@pytest.fixture
def module(app: Celery, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module that has the application."""
    holder = ModuleType("shop_of_the_test")
    holder.app = app  # type: ignore[attr-defined]  # of this module
    monkeypatch.setitem(sys.modules, holder.__name__, holder)
    return holder.__name__


Start = Callable[[str], JobsWorker]


@pytest.fixture
def start(
    app: Celery, module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Start]:
    """Starts the step with a program in place of `jobs-app worker`."""
    monkeypatch.setattr(celery_step, "FIRST_PAUSE_SECONDS", 0.05)
    monkeypatch.setattr(
        celery_step,
        "COLD_SIGNALS",
        ((signal.SIGQUIT, 0.3), (signal.SIGQUIT, 0.3), (signal.SIGKILL, 5.0)),
    )
    started: list[JobsWorker] = []

    def start(how: str) -> JobsWorker:
        command = (sys.executable, "-c", PROGRAM, str(tmp_path), how)
        monkeypatch.setattr(celery_step, "COMMAND", command)
        jobs_app.integrate(app)
        started.append(JobsWorker(worker_of(app)))
        started[0].start(worker_of(app))
        return started[0]

    yield start
    for step in started:
        step.terminate(worker_of(app))


def worker_of(app: Celery) -> Any:
    return SimpleNamespace(app=app)


def test_a_process_that_ends_is_started_again_and_the_log_says_so(start, tmp_path, caplog):
    caplog.set_level(logging.ERROR)

    start("ends")

    wait_until(lambda: len(list(tmp_path.glob("pid-*"))) == 3, "it was started three times")
    assert "jobs-app worker ended with exit code 3; starting it again in 0.05 s" in caplog.text
    assert "in 0.1 s" in caplog.text


def test_a_warm_shutdown_asks_the_process_to_end_and_waits(start, app, module, tmp_path):
    step = start("slow")
    pid = pid_in(tmp_path / "pid-0")

    step.close(worker_of(app))
    assert is_alive(pid)
    step.stop(worker_of(app))

    assert (tmp_path / "ended").exists()
    assert not is_alive(pid)
    assert (tmp_path / "imports").read_text() == module


def test_a_cold_shutdown_kills_what_does_not_end(start, app, tmp_path):
    step = start("stubborn")
    pid = pid_in(tmp_path / "pid-0")

    step.close(worker_of(app))
    step.terminate(worker_of(app))

    assert (tmp_path / "quit").exists()
    assert not is_alive(pid)
    assert not list(tmp_path.glob("pid-1"))


def test_a_second_signal_turns_a_warm_shutdown_into_a_cold_one(start, app, tmp_path, monkeypatch):
    step = start("stubborn")
    pid = pid_in(tmp_path / "pid-0")
    step.close(worker_of(app))
    monkeypatch.setattr(state, "should_terminate", 0)

    step.stop(worker_of(app))

    assert not is_alive(pid)


def test_the_process_ends_with_a_worker_that_is_killed(tmp_path):
    program = (
        "import sys, time, types\n"
        "from celery import Celery\n"
        "import jobs_app\n"
        "from jobs_app.up import celery_step\n"
        f"celery_step.COMMAND = (sys.executable, '-c', {PROGRAM!r}, {str(tmp_path)!r}, '')\n"
        "app = Celery('shop')\n"
        "jobs_app.integrate(app, imports='shop')\n"
        "worker = types.SimpleNamespace(app=app)\n"
        "celery_step.JobsWorker(worker).start(worker)\n"
        "time.sleep(60)\n"
    )
    worker = subprocess.Popen([sys.executable, "-c", program])
    pid = pid_in(tmp_path / "pid-0")

    worker.kill()
    worker.wait()

    wait_until(lambda: not is_alive(pid), "the process ends")


def test_an_application_that_no_module_has_is_an_error_in_the_log(app, caplog):
    jobs_app.integrate(app)
    step = JobsWorker(worker_of(app))

    step.start(worker_of(app))

    assert "no imported module has the application 'shop'" in caplog.text
    step.stop(worker_of(app))


def test_a_worker_in_a_thread_of_a_test_starts_nothing(app):
    answers: list[bool] = []
    step = JobsWorker(worker_of(app))
    thread = threading.Thread(target=lambda: answers.append(step.include_if(worker_of(app))))

    thread.start()
    thread.join()

    assert answers == [False]
    assert step.include_if(worker_of(app))


def test_settings_of_the_call_come_before_those_of_the_environment(app, module, monkeypatch):
    monkeypatch.setenv("JOBS_IMPORTS", "reports, mails")
    monkeypatch.setenv("JOBS_WORKER_QUEUES", "default")
    monkeypatch.delenv("JOBS_WORKER_CONCURRENCY", raising=False)

    plain = Integration().environment(app)
    chosen = Integration(["shop", "slow"], 4, ["shop.celery"]).environment(app)

    assert plain == os.environ | {"JOBS_IMPORTS": f"reports,mails,{module}"}
    assert chosen["JOBS_IMPORTS"] == "reports,mails,shop.celery"
    assert chosen["JOBS_WORKER_QUEUES"] == "shop,slow"
    assert chosen["JOBS_WORKER_CONCURRENCY"] == "4"


def test_a_module_that_has_only_tasks_of_the_application_is_found(app, monkeypatch):
    def add() -> None:
        """Do nothing."""

    holder = ModuleType("tasks_of_the_test")
    holder.add = app.task(add)  # type: ignore[attr-defined]  # as above
    monkeypatch.setitem(sys.modules, holder.__name__, holder)

    assert Integration().environment(app)["JOBS_IMPORTS"].endswith(holder.__name__)


def test_a_worker_gets_one_step_and_nothing_else(app):
    before = {name: set(steps) for name, steps in app.steps.items()}
    app.conf.get("broker_url")
    settings = dict(app.conf)

    jobs_app.integrate(app, queues="shop, slow")
    jobs_app.integrate(app, queues=["other"])

    added = {name: steps - before.get(name, set()) for name, steps in app.steps.items()}
    assert {name: steps for name, steps in added.items() if steps} == {"worker": {JobsWorker}}
    assert dict(app.conf) == settings
    assert celery_step._integrations[app].queues == ["other"]


def test_another_object_than_an_application_is_refused():
    with pytest.raises(TypeError, match="takes a Celery application"):
        jobs_app.integrate(SimpleNamespace(extensions={}))  # type: ignore[arg-type]  # as said
