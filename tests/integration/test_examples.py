"""The three ways of `examples/` work: imports, the task `celery`, and `jobs_app.integrate`."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import psutil
import pytest
import yaml

from jobs_app.core import clock
from jobs_app.core.states import RunState
from jobs_app.jobs import definition, service
from jobs_app.jobs.start import start_job
from jobs_app.runs import messages
from jobs_app.secrets.encryption import load_cipher
from tests.integration.system import System
from tests.profiles import postgresql_nightly
from tests.secrets import stored_secrets
from tests.servers import ValkeyServer, wait_until

EXAMPLES = Path(__file__).parents[2] / "examples"
REPORT = {"country": "fr", "days": 7, "currency": "EUR"}


@pytest.fixture
def own_valkey() -> Iterator[ValkeyServer]:
    """A Valkey on TCP, which the shop can call with a URL of Celery's."""
    server = ValkeyServer(tcp=True)
    server.start()
    yield server
    server.close()


@pytest.fixture
def shop(
    make_system: Callable[..., System], own_valkey: ValkeyServer, monkeypatch: pytest.MonkeyPatch
) -> System:
    """An installation that knows the shop, and whose broker the shop has too, in databases 1, 2."""
    monkeypatch.syspath_prepend(EXAMPLES)
    address = own_valkey.url.rpartition("/")[0]
    port = address.rpartition(":")[2]
    system = make_system(imports="shop.celery_app", celery_allow=f"127.0.0.1:{port}")
    system.environment |= {
        "PYTHONPATH": f"{EXAMPLES}:{Path(__file__).parents[2]}",
        "SHOP_BROKER": f"{address}/1",
        "SHOP_RESULTS": f"{address}/2",
    }
    cipher = load_cipher(system.settings, makes_key=True)
    for name in ("broker", "results"):
        value = system.environment[f"SHOP_{name.upper()}"]
        stored_secrets.put(system.database, f"shop-{name}", value, cipher, None)
    return system


def start_example(system: System, file: str) -> UUID:
    """Create the job of an example, and start it by hand; return its run."""
    (document,) = yaml.safe_load((EXAMPLES / file).read_text())
    at, app = clock.now(), system.app
    fields = definition.from_document(document, system.settings, name=document.pop("name"), app=app)
    with system.database.session() as session:
        job = service.create(session, fields, app=app, by="tester", at=at)
        started = start_job(session, job, app=app, by="tester", at=at)
    assert started.message is not None
    messages.publish(app, [started.message])
    return started.run.id


def children(pid: int) -> list[psutil.Process]:
    return [child for child in psutil.Process(pid).children() if "jobs_app" in child.cmdline()]


# Each way has a test of its own: test_own_app.py, test_celery.py, test_celery_step.py.
@pytest.mark.nightly
@postgresql_nightly
def test_each_way_runs_the_report_of_the_shop(shop: System) -> None:
    shop.start("worker")
    options = ("-c1", "-lINFO", "--without-gossip", "--without-mingle", "--without-heartbeat")
    own_worker = shop.spawn("shop", "celery", "-A", "shop.integrated", "worker", *options)
    files = ("imports.yaml", "celery.yaml", "integrate.yaml")
    runs = {file: start_example(shop, file) for file in files}

    ended = {file: shop.wait_for_end(run_id, seconds=40) for file, run_id in runs.items()}

    assert {run.state for run in ended.values()} == {RunState.SUCCEEDED}, shop.log("shop")
    results: dict[str, Any] = {file: run.result for file, run in ended.items()}
    assert results["celery.yaml"].pop("result") == REPORT
    assert results["imports.yaml"] == results["integrate.yaml"] == REPORT
    workers = {file: run.worker_id for file, run in ended.items()}
    assert workers["imports.yaml"] == workers["celery.yaml"] != workers["integrate.yaml"]

    # Their own tasks go on as before: by their broker, in their pool, into their log.
    log = shop.log("shop")
    assert "adding up 7 days of fr" in log
    task_id = results["celery.yaml"]["id"]
    assert f"Task shop.tasks.sales_report[{task_id}] received" in log
    assert f"Task shop.tasks.sales_report[{task_id}] succeeded" in log
    # The output of a run is in the run's log only.
    assert log.count("adding up 7 days of fr") == 1

    (process,) = children(own_worker.pid)
    own_worker.terminate()
    wait_until(lambda: own_worker.poll() is not None, "their worker ends", timeout_seconds=30)
    assert not process.is_running()
