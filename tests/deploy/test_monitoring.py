"""The dashboard and the alert rules: each query names metrics that exist, and returns data.

The nightly profile runs them in a real Prometheus, which scrapes a real web application.
"""

import json
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from threading import Thread
from typing import Any

import httpx
import pytest
import yaml
from sqlalchemy import update
from werkzeug.serving import make_server

from jobs_app.core import clock
from jobs_app.core.settings import Settings
from jobs_app.core.states import RunState
from jobs_app.db.columns import new_run_id
from jobs_app.db.counters import Key, add_to
from jobs_app.db.engine import Database
from jobs_app.db.models.jobs import Job
from jobs_app.db.models.processes import SchedulerProcess
from jobs_app.runs import counting, workers
from jobs_app.runs.workers import Registration
from jobs_app.up.valkey import free_port
from jobs_app.web.app import create_app
from tests.factories import claim, finish, make_job, make_run
from tests.servers import wait_until
from tests.web.conftest import close

ROOT = Path(__file__).parents[2]
DASHBOARD = ROOT / "deploy/grafana/jobs-app.json"
RULES = ROOT / "deploy/prometheus/jobs-app.rules.yml"
DOCUMENT = ROOT / "docs/observing.md"

#: In a graph Grafana puts in an interval that has a few scrapes.
INTERVAL = "20s"

#: Fires only when there are no metrics at all.
ABSENT = "JobsAppAbsent"


def panels() -> dict[str, str]:
    """Return the queries of the dashboard by the titles of their panels."""
    return {
        f"{panel['title']} {target['refId']}": target["expr"]
        for panel in json.loads(DASHBOARD.read_text())["panels"]
        for target in panel["targets"]
    }


def alerts() -> dict[str, str]:
    """Return the expressions of the rules by their names."""
    [group] = yaml.safe_load(RULES.read_text())["groups"]
    return {rule["alert"]: rule["expr"] for rule in group["rules"]}


def test_each_query_names_metrics_that_exist() -> None:
    # tests/web/test_metric_families.py compares the document with the code.
    documented = set(re.findall(r"^\| `(jobs_app_\w+)`", DOCUMENT.read_text(), re.MULTILINE))

    for name, query in (panels() | alerts()).items():
        metrics = set(re.findall(r"jobs_app_\w+", query))
        assert metrics, name
        known = {re.sub(r"_(bucket|sum|count)$", "", metric) for metric in metrics}
        assert known <= documented, name


def test_the_dashboard_shows_each_metric_that_the_document_has() -> None:
    documented = set(re.findall(r"^\| `(jobs_app_\w+)`", DOCUMENT.read_text(), re.MULTILINE))

    shown = set(re.findall(r"jobs_app_\w+", " ".join((panels() | alerts()).values())))

    missing = {name for name in documented if not any(metric.startswith(name) for metric in shown)}
    assert missing == {"jobs_app_schedulers"}


def test_the_document_names_each_alert() -> None:
    documented = re.findall(r"^\| `(JobsApp\w+)`", DOCUMENT.read_text(), re.MULTILINE)

    assert documented == list(alerts())


def test_the_panels_do_not_overlap() -> None:
    cells = [
        (x, y)
        for panel in json.loads(DASHBOARD.read_text())["panels"]
        for place in [panel["gridPos"]]
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]

    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24


@pytest.fixture
def prometheus_programs() -> None:
    """Debian's package `prometheus`, which the default profile does without."""
    if shutil.which("prometheus") is None or shutil.which("promtool") is None:
        pytest.skip("Debian's package prometheus is not installed")


@pytest.fixture
def web(database: Database, database_url: str, tmp_path: Path) -> Iterator[str]:
    """The host and port of a web server whose metrics this machine may read."""
    settings = Settings(data_dir=tmp_path / "data", database_url=database_url, metrics_open=True)
    app = create_app(settings)
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield f"127.0.0.1:{server.port}"
    server.shutdown()
    thread.join()
    close(app)


@pytest.fixture
def query(prometheus_programs: None, web: str, tmp_path: Path) -> Iterator[Callable[[str], Any]]:
    """Ask a Prometheus that scrapes the web server each second."""
    port, configuration = free_port(), tmp_path / "prometheus.yml"
    job = {"job_name": "jobs-app", "static_configs": [{"targets": [web]}]}
    document = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "scrape_configs": [job],
        "rule_files": [str(RULES)],
    }
    configuration.write_text(json.dumps(document))
    process = subprocess.Popen(
        [
            "prometheus",
            f"--config.file={configuration}",
            f"--storage.tsdb.path={tmp_path / 'tsdb'}",
            f"--web.listen-address=127.0.0.1:{port}",
        ],
        stderr=subprocess.DEVNULL,
    )

    def ask(expression: str) -> Any:
        url = f"http://127.0.0.1:{port}/api/v1/query"
        answer = httpx.get(url, params={"query": expression}, trust_env=False).json()
        assert answer["status"] == "success", (expression, answer)
        return answer["data"]["result"]

    def is_scraped() -> bool:
        try:
            return bool(ask("jobs_app_build_info"))
        except (httpx.TransportError, ValueError):
            # Until it is ready, it does not listen, or answers a plain text.
            return False

    try:
        wait_until(is_scraped, "Prometheus has scraped", timeout_seconds=60)
        yield ask
    finally:
        process.terminate()
        process.wait(30)


def install_trouble(database: Database) -> None:
    """Let all that an alert is about be wrong: the scheduler, a queue, a job."""
    at = clock.now()
    backup = make_job(database, name="nightly-backup", at=at)
    long_ago = at - timedelta(days=3)
    with database.session() as session:
        registration = Registration("worker@test", 1, ("default",), 2, "prefork")
        worker_id = workers.register(session, registration, at=at)
        ticked_at = at - timedelta(minutes=5)
        row: dict[str, Any] = {"name": "scheduler@a", "pid": 1, "started_at": long_ago}
        session.add(SchedulerProcess(id=new_run_id(), ticked_at=ticked_at, **row))
        due = {"next_fire_at": ticked_at, "next_due_at": ticked_at}
        session.execute(update(Job).where(Job.id == backup.id).values(**due))
        session.commit()
    run_id = make_run(database, backup, at=long_ago)
    claim(database, run_id, worker_id, at=long_ago)
    finish(database, run_id, RunState.SUCCEEDED, at=long_ago + timedelta(seconds=30))
    make_run(database, queue="slow", at=at - timedelta(hours=1))
    running = make_run(database, at=at)
    claim(database, running, worker_id, at=at)


def count_trouble(database: Database, job_id: int) -> None:
    """Count as a scheduler does: late fires, failed runs and messages, all at once."""
    amounts = {
        Key("schedule_lag", 0, "60"): 5,
        Key(counting.FIRES, 0, "missed"): 1,
        Key(counting.FINISHED, job_id, "failed"): 2,
        Key(counting.FINISHED, job_id, "lost"): 2,
        Key(counting.DURATION, job_id, "5"): 4,
        Key(counting.DURATION, job_id, "sum"): 9.5,
        Key(counting.RETRIES, job_id): 1,
        Key(counting.WAIT, 0, "0.1"): 4,
        Key("janitor_actions", 0, "resend"): 1,
        Key("notifications", 0, "failed"): 1,
    }
    with database.session() as session:
        add_to(session, amounts)
        session.commit()


@pytest.mark.nightly
def test_each_query_returns_data_from_a_real_prometheus(
    database: Database, web: str, query: Callable[[str], Any]
) -> None:
    install_trouble(database)
    with database.reading() as session:
        job_id = session.query(Job.id).filter_by(name="nightly-backup").scalar()
    queries = {
        name: expression.replace("$__rate_interval", INTERVAL)
        for name, expression in (panels() | alerts()).items()
    }
    del queries[ABSENT]

    deadline, empty = time.monotonic() + 90, set(queries)
    while empty and time.monotonic() < deadline:
        count_trouble(database, job_id)
        time.sleep(1.5)  # a scrape later
        empty = {name for name in empty if not query(queries[name])}

    assert not empty
    assert query(alerts()[ABSENT]) == []
    assert query('up{job="jobs-app"}')[0]["value"][1] == "1"
    assert not query('{__name__=~"jobs_app_.*", exported_job!=""}')


@pytest.mark.nightly
def test_promtool_finds_nothing(prometheus_programs: None, web: str) -> None:
    rules = subprocess.run(["promtool", "check", "rules", RULES], capture_output=True, text=True)
    scrape = httpx.get(f"http://{web}/metrics", trust_env=False).text

    metrics = subprocess.run(
        ["promtool", "check", "metrics"], input=scrape, capture_output=True, text=True
    )

    assert (rules.returncode, rules.stderr) == (0, "")
    assert (metrics.returncode, metrics.stderr) == (0, "")
