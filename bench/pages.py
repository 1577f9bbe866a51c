"""Pages: the server's time, the statements and the bytes of each page, and many open pages.

The database has 5,000 jobs and 1,000,000 runs. The first part asks for each page again and
again in this process. The second part starts one web process, keeps 200 pages open that ask for
their region as browsers do, and reads what that process takes.
"""

import asyncio
import itertools
import os
import random
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx
import psutil
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select

from bench import history, report
from bench.history import captured
from bench.servers import running
from jobs_app.accounts import people, sessions
from jobs_app.accounts.people import Rights
from jobs_app.accounts.sessions import Browser
from jobs_app.core import clock
from jobs_app.core.roles import AccountKind, Role
from jobs_app.core.settings import Settings
from jobs_app.db.engine import Database
from jobs_app.db.models.runs import Run
from jobs_app.web import page_session
from jobs_app.web import session as web_session
from jobs_app.web.app import create_app

JOBS, RUNS, QUICK_RUNS = 5_000, 1_000_000, 100_000
JOB = "job-042"

ROUNDS, QUICK_ROUNDS = 100, 20

#: The goals: milliseconds at the server, statements, compressed bytes.
GOAL_MS, GOAL_STATEMENTS, GOAL_BYTES, GOAL_FIRST_BYTES = 100, 8, 50_000, 60_000
GOAL_FIRST_REQUESTS = 6

#: Open pages, how often each asks, and for how long, seconds.
OPEN_PAGES, POLL_SECONDS = 200, 5.0
#: The pages are opened one after the other over so long, seconds.
OPENING_SECONDS = 30.0
OPEN_SECONDS, QUICK_OPEN_SECONDS = 120, 20

HTML = {"Accept": "text/html", "Accept-Encoding": "br"}


def addresses(run_id: str) -> dict[str, str]:
    """Return the pages that are measured, by their names."""
    return {
        "Home": "/",
        "Jobs": "/jobs",
        "Jobs, failing": "/jobs?state=failing",
        "Jobs, searched": "/jobs?q=job-04&sort=name",
        "Job": f"/jobs/{JOB}",
        "Why": f"/jobs/{JOB}/why",
        "Run now": f"/jobs/{JOB}/run",
        "Edit": f"/jobs/{JOB}/edit",
        "New job": "/new-job",
        "Changes": f"/jobs/{JOB}/changes",
        "Runs": "/runs",
        "Runs, failed": "/runs?state=failed",
        "Runs of a job": f"/runs?job={JOB}",
        "Run": f"/runs/{run_id}",
        "Audit": "/audit",
        "People": "/people",
        "Me": "/me",
    }


@dataclass(frozen=True)
class PageCost:
    """What a page costs: milliseconds at the server, statements and compressed bytes."""

    p50_ms: float
    p95_ms: float
    statements: int
    compressed_bytes: int

    @property
    def is_within_goals(self) -> bool:
        """Whether it keeps all limits."""
        within_bytes = self.compressed_bytes <= GOAL_BYTES
        return self.p95_ms < GOAL_MS and self.statements <= GOAL_STATEMENTS and within_bytes


def run(*, quick: bool) -> None:
    """Fill PostgreSQL, measure each page, then many open pages, and print the tables."""
    rounds = QUICK_ROUNDS if quick else ROUNDS
    with (
        running() as servers,
        servers.database("postgresql") as url,
        TemporaryDirectory() as folder,
    ):
        database = Database(url)
        history.fill(database, QUICK_RUNS if quick else RUNS, jobs=JOBS)
        settings = Settings(data_dir=Path(folder), database_url=url)
        secret = _sign_in(database)
        with database.reading() as session:
            run_id = str(
                session.scalars(select(Run.id).where(Run.state == "failed").limit(1)).one()
            )
        database.close()
        app = create_app(settings)
        costs = _measure_pages(app, secret, run_id, rounds)
        first_bytes, first_requests = _first_visit(app, secret)
        _close(app)
        print(_table(costs))
        visit = f"{first_bytes:,} bytes in {first_requests} requests"
        goals = f"{GOAL_FIRST_BYTES:,} and {GOAL_FIRST_REQUESTS}"
        print(
            f"\na first visit of Jobs, with all its files: {visit} (goals: {goals})\n", flush=True
        )
        seconds = QUICK_OPEN_SECONDS if quick else OPEN_SECONDS
        load = _measure_open_pages(settings, secret, seconds)
        print(_open_table(load))
    report.save(
        "pages",
        {"pages": {name: vars(cost) for name, cost in costs.items()}}
        | {"first_visit_bytes": first_bytes, "first_visit_requests": first_requests}
        | {"open_pages": vars(load)},
    )


def _sign_in(database: Database) -> str:
    """Return the secret of a session of a new admin."""
    at = clock.now()
    with database.session() as session:
        rights = Rights(Role.ADMIN)
        person = people.create(session, "Ana", AccountKind.PERSON, rights, by="bench", at=at)
        secret = sessions.start(session, person, Browser("127.0.0.1", "bench"), at=at)
        session.commit()
    return secret


def _client(app: Flask, secret: str) -> FlaskClient:
    client = app.test_client()
    client.set_cookie(app.extensions[page_session.NAME].name, secret)
    return client


def _measure_pages(app: Flask, secret: str, run_id: str, rounds: int) -> dict[str, PageCost]:
    costs = {}
    for name, address in addresses(run_id).items():
        client = _client(app, secret)
        # A thread looks at the parts of jobs-app, once in some seconds for all pages.
        client.get("/me", headers=HTML)
        with _statements(app) as statements:
            answer = client.get(address, headers=HTML)
        if answer.status_code != 200:
            raise RuntimeError(f"{name}: {answer.status_code} at {address}")
        times = sorted(_milliseconds(client, address) for _ in range(rounds))
        costs[name] = PageCost(
            p50_ms=round(times[len(times) // 2], 1),
            p95_ms=round(times[len(times) * 95 // 100], 1),
            statements=len(statements),
            compressed_bytes=len(answer.data),
        )
    return costs


def _milliseconds(client: FlaskClient, address: str) -> float:
    began = time.perf_counter()
    client.get(address, headers=HTML)
    return (time.perf_counter() - began) * 1000


@contextmanager
def _statements(app: Flask) -> Iterator[list[tuple[str, Any]]]:
    with app.app_context():
        engine = web_session.database.engine
    with captured(engine) as statements:
        yield statements


def _first_visit(app: Flask, secret: str) -> tuple[int, int]:
    """Return the compressed bytes of Jobs and of all the files that it names, and their number."""
    client = _client(app, secret)
    page = client.get("/jobs", headers={"Accept": "text/html"})
    parts = [part.partition('"')[0] for part in page.text.split('"/assets/')[1:]]
    addresses = ["/jobs", *(f"/assets/{part}" for part in dict.fromkeys(parts))]
    return sum(len(client.get(address, headers=HTML).data) for address in addresses), len(addresses)


def _close(app: Flask) -> None:
    with app.app_context():
        web_session.database.engine.dispose()


@dataclass(frozen=True)
class OpenPages:
    """What one web process takes while pages are open: share of a core, MB, milliseconds."""

    pages: int
    seconds: float
    answers: int
    unchanged: int
    core_share: float
    megabytes: float
    p50_ms: float
    p95_ms: float


def _measure_open_pages(settings: Settings, secret: str, seconds: float) -> OpenPages:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    environment = os.environ | {
        "JOBS_DATA_DIR": str(settings.data_dir),
        "JOBS_DATABASE_URL": settings.effective_database_url,
        "JOBS_PORT": str(port),
        "JOBS_LOG_LEVEL": "WARNING",
    }
    command = [sys.executable, "-m", "jobs_app", "web"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL) as web:
        try:
            process = psutil.Process(web.pid)
            url = f"http://127.0.0.1:{port}"
            _wait_for(url)
            return asyncio.run(_open(process, url, f"jobs-app-{port}={secret}", seconds))
        finally:
            web.terminate()


def _wait_for(url: str) -> None:
    for _ in range(100):
        try:
            if httpx.get(f"{url}/healthz").status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.2)
    raise RuntimeError("the web process does not answer")


async def _open(process: psutil.Process, url: str, cookie: str, seconds: float) -> OpenPages:
    """Keep the pages open for so long, each in a zone of one of four people."""
    times: list[float] = []
    statuses: list[int] = []
    limits = httpx.Limits(max_connections=OPEN_PAGES, max_keepalive_connections=OPEN_PAGES)
    zones = itertools.cycle(("UTC", "Europe/Paris", "Asia/Tokyo", "America/New_York"))
    async with httpx.AsyncClient(base_url=url, limits=limits, timeout=30) as client:
        # The first answers compile the templates.
        await _poll(client, cookie, "/jobs", 0.1, [], [])
        before = process.cpu_times()
        began = time.monotonic()
        tasks = [
            _poll(client, f"{cookie}; jobs_zone={next(zones)}", address, seconds, times, statuses)
            for address in itertools.islice(itertools.cycle(("/jobs", "/", "/runs")), OPEN_PAGES)
        ]
        await asyncio.gather(*tasks)
        spent = time.monotonic() - began
    after = process.cpu_times()
    cpu = after.user + after.system - before.user - before.system
    if bad := [status for status in statuses if status not in {200, 304}]:
        raise RuntimeError(f"{len(bad)} answers were errors, as {bad[0]}")
    times.sort()
    return OpenPages(
        pages=OPEN_PAGES,
        seconds=round(spent, 1),
        answers=len(statuses),
        unchanged=statuses.count(304),
        core_share=round(cpu / spent, 3),
        megabytes=round(process.memory_info().rss / 1e6, 1),
        p50_ms=round(times[len(times) // 2], 1),
        p95_ms=round(times[len(times) * 95 // 100], 1),
    )


async def _poll(
    client: httpx.AsyncClient,
    cookie: str,
    address: str,
    seconds: float,
    times: list[float],
    statuses: list[int],
) -> None:
    """Ask for the region of a page again and again, as `live.js` does."""
    ends_at = time.monotonic() + seconds
    tag = "none"
    await asyncio.sleep(random.uniform(0, min(OPENING_SECONDS, seconds)))
    while time.monotonic() < ends_at:
        headers = {"Cookie": cookie, "HX-Request": "true", "HX-PTag": tag, "Accept": "text/html"}
        began = time.perf_counter()
        answer = await client.get(address, headers=headers)
        times.append((time.perf_counter() - began) * 1000)
        statuses.append(answer.status_code)
        tag = answer.headers.get("HX-PTag", tag)
        await asyncio.sleep(POLL_SECONDS * random.uniform(0.8, 1.2))


def _table(costs: dict[str, PageCost]) -> str:
    rows = [
        [
            name,
            f"{cost.p50_ms:.1f}",
            f"{cost.p95_ms:.1f}",
            str(cost.statements),
            f"{cost.compressed_bytes:,}",
            "yes" if cost.is_within_goals else "no",
        ]
        for name, cost in costs.items()
    ]
    headings = ["page", "p50, ms", "p95, ms", "statements", "bytes", "within the goals"]
    return report.table(headings, rows)


def _open_table(load: OpenPages) -> str:
    rows = [
        ["open pages", f"{load.pages:,}"],
        ["answers", f"{load.answers:,} in {load.seconds:.0f} s, {load.unchanged:,} of them 304"],
        ["share of a core", f"{load.core_share:.1%}"],
        ["memory", f"{load.megabytes:.0f} MB"],
        ["p50 and p95", f"{load.p50_ms:.1f} and {load.p95_ms:.1f} ms"],
    ]
    return report.table(["one web process", "measured"], rows)
