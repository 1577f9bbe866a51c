"""Take the pictures of docs/screenshots: `./run screenshots`.

They show an installation with made-up jobs, in light and dark colours, wide and narrow.
"""

import argparse
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import UUID

from playwright.sync_api import Browser, sync_playwright
from sqlalchemy import update

from jobs_app.accounts import people, sessions
from jobs_app.accounts.people import Rights
from jobs_app.core.roles import AccountKind, Role
from jobs_app.core.settings import Settings
from jobs_app.core.states import JobState, RunState, Trigger
from jobs_app.db.columns import new_run_id
from jobs_app.db.engine import Database
from jobs_app.db.migrations import migrate
from jobs_app.db.models.jobs import Job, schedule_of
from jobs_app.db.models.processes import SchedulerProcess, Worker
from jobs_app.db.models.runs import LogChunk, Run
from jobs_app.schedules import union as schedules
from jobs_app.web import page_session
from jobs_app.web.app import create_app
from tests.web.pages.browser.conftest import ARGUMENTS, CHROMIUM, Scheme, serving

FOLDER = Path(__file__).parents[1] / "docs" / "screenshots"

SIZES = {"wide": (1280, 800), "narrow": (360, 740)}
SCHEMES: tuple[Scheme, ...] = ("light", "dark")

NOW = datetime.now(UTC).replace(microsecond=0)

#: The jobs: name, schedule, zone, tags, usual seconds, and the states of the newest runs.
Row = tuple[str, dict[str, Any], str, str, float, str]
JOBS: tuple[Row, ...] = (
    (
        "nightly-report",
        {"cron": "30 2 * * 1-5"},
        "Europe/Paris",
        "billing",
        240,
        "s" * 17 + "fff",
    ),
    ("backup-db", {"cron": "0 3 * * *"}, "UTC", "infra", 900, "s" * 19 + "r"),
    (
        "import-eu",
        {"cron": "*/15 * * * *"},
        "Europe/Berlin",
        "data",
        42,
        "s" * 8 + "m" + "s" * 11,
    ),
    ("invoices", {"cron": "30 9 * * *"}, "Europe/Paris", "billing", 75, "s" * 20),
    ("thumbnails", {"interval_seconds": 300}, "UTC", "media", 38, "sssskssssskssssssssr"),
    ("sync-crm", {"cron": "5 * * * *"}, "UTC", "data", 12, "s" * 14 + "t" + "s" * 5),
    ("vacuum", {"cron": "20 4 * * 0"}, "UTC", "infra", 610, "s" * 20),
    ("old-sync", {"interval_seconds": 900}, "UTC", "data", 3, "s" * 12),
    ("certificates", {"cron": "0 6 * * 1"}, "UTC", "infra", 2, "s" * 20),
    ("month-end", {"cron": "0 1 L * *"}, "Europe/Paris", "billing", 1800, "s" * 6),
)

STATES = {
    "s": RunState.SUCCEEDED,
    "f": RunState.FAILED,
    "m": RunState.MISSED,
    "k": RunState.SKIPPED,
    "t": RunState.TIMED_OUT,
    "r": RunState.RUNNING,
}

LOG = """\
\x1b[1mnightly report\x1b[0m for {day}
reading 3 sources
  orders      \x1b[32mok\x1b[0m   18,204 rows
  customers   \x1b[32mok\x1b[0m    2,911 rows
  stock       \x1b[33mslow\x1b[0m  41 s
connecting to db-main (10.0.0.7)
\x1b[31mcould not connect to db-main: timed out after 120 s\x1b[0m
"""


def main() -> None:
    """Take all pictures, or those of the pages that the command line names."""
    parser = argparse.ArgumentParser(prog="./run screenshots", description=__doc__)
    parser.add_argument("pages", nargs="*", help="home jobs job run edit runs")
    wanted = parser.parse_args().pages
    with TemporaryDirectory() as folder:
        settings = Settings(data_dir=Path(folder), database_url=f"sqlite:///{folder}/jobs.db")
        migrate(settings)
        database = Database(settings.effective_database_url)
        failed = _fill(database)
        secret = _sign_in(database)
        database.close()
        app = create_app(settings)
        name = app.extensions[page_session.NAME].name
        with serving(app, settings) as url, sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=_chromium(), args=ARGUMENTS)
            cookie = {"name": name, "value": secret, "url": url}
            for page, address in _addresses(failed).items():
                if not wanted or page in wanted:
                    _take(browser, page, url + address, cookie)
            browser.close()


def _addresses(failed: UUID) -> dict[str, str]:
    return {
        "home": "/",
        "jobs": "/jobs",
        "job": "/jobs/nightly-report",
        "run": f"/runs/{failed}",
        "edit": "/jobs/nightly-report/edit",
        "runs": "/runs",
    }


def _chromium() -> str:
    return CHROMIUM if "/" in CHROMIUM else f"/usr/bin/{CHROMIUM}"


def _take(browser: Browser, name: str, address: str, cookie: dict[str, str]) -> None:
    FOLDER.mkdir(exist_ok=True)
    for size, (width, height) in SIZES.items():
        for scheme in SCHEMES:
            context = browser.new_context(
                viewport={"width": width, "height": height},
                color_scheme=scheme,
                timezone_id="Europe/Paris",
            )
            zone = {"name": "jobs_zone", "value": "Europe/Paris", "url": cookie["url"]}
            context.add_cookies([cookie, zone])  # type: ignore[list-item]  # plain dictionaries
            page = context.new_page()
            page.goto(address)
            page.wait_for_timeout(600)
            path = FOLDER / f"{name}-{size}-{scheme}.png"
            page.screenshot(path=path)
            print(path.relative_to(FOLDER.parents[1]))
            context.close()


def _sign_in(database: Database) -> str:
    with database.session() as session:
        rights = Rights(Role.ADMIN)
        person = people.create(session, "Ana", AccountKind.PERSON, rights, by="root", at=NOW)
        secret = sessions.start(session, person, sessions.Browser("127.0.0.1"), at=NOW)
        session.commit()
    return secret


def _fill(database: Database) -> UUID:
    """Store the jobs with their runs; return the newest failed run of the first one."""
    rng = random.Random(1)
    with database.session() as session:
        worker = Worker(name="w-3", pid=1, queues=["default"], concurrency=4, pool="prefork")
        worker.started_at = worker.seen_at = NOW
        process = {"name": "s-1", "pid": 2, "is_active": True}
        session.add_all([worker, SchedulerProcess(started_at=NOW, ticked_at=NOW, **process)])
        session.flush()
        failed = None
        for number, (name, schedule, zone, tag, seconds, states) in enumerate(JOBS, start=1):
            job = _job(number, name, schedule, zone, tag)
            session.add(job)
            session.flush()
            runs = list(_runs(job, states, seconds, worker.id, rng))
            session.add_all(runs)
            session.flush()
            if job.id == 1:
                failed = runs[-1]
        assert failed is not None
        day = failed.created_at.strftime("%-d %b %Y")
        for seq, line in enumerate(LOG.format(day=day).splitlines(keepends=True)):
            stream = "stderr" if "could not" in line else "stdout"
            at = failed.created_at + timedelta(seconds=20 * seq)
            chunk = {"run_id": failed.id, "attempt": 1, "seq": seq, "stream": stream}
            session.add(LogChunk(**chunk, at=at, text=line))
        session.execute(update(Job).where(Job.id == 1).values(failures_in_a_row=3))
        session.commit()
        return failed.id


def _job(number: int, name: str, schedule: dict[str, Any], zone: str, tag: str) -> Job:
    made = NOW - timedelta(days=90)
    job = Job(
        id=number,
        name=name,
        description="Report for billing, sent to ops when it fails." if number == 1 else "",
        task="shell",
        kwargs={"command": f"/srv/jobs/{name}.sh"},
        timezone=zone,
        tags=[tag],
        created_at=made,
        updated_at=made,
        anchor_at=made if "interval_seconds" in schedule else None,
        failing_since=NOW - timedelta(days=3) if number == 1 else None,
        **schedule,
    )
    if name == "old-sync":
        job.state, job.paused_at = JobState.PAUSED, NOW - timedelta(days=12)
        job.paused_by, job.paused_reason = "Ana", "db-main is being moved"
        return job
    planned = schedule_of(job)
    assert planned is not None
    job.next_fire_at = job.next_due_at = schedules.next_fire(planned, after=NOW)
    return job


def _runs(
    job: Job, states: str, seconds: float, worker_id: UUID, rng: random.Random
) -> Iterator[Run]:
    planned = schedule_of(job)
    assert planned is not None
    recent = schedules.preview(planned, after=NOW - timedelta(days=150), count=50_000, until=NOW)
    fires = [fire.at for fire in recent[-len(states) :]]
    for letter, due in zip(states[-len(fires) :], fires, strict=True):
        state = STATES[letter]
        start = due + timedelta(milliseconds=rng.randint(80, 400))
        took = seconds * rng.uniform(0.8, 1.25) * (0.5 if state is RunState.FAILED else 1)
        is_tried = state not in {RunState.MISSED, RunState.SKIPPED}
        error = {"type": "CommandFailed", "message": "The command ended with exit code 2."}
        took = took if is_tried else 0
        is_broken = state in {RunState.FAILED, RunState.TIMED_OUT}
        yield Run(
            id=new_run_id(),
            job_id=job.id,
            state=state,
            trigger=Trigger.SCHEDULE,
            scheduled_for=due,
            task=job.task,
            kwargs=job.kwargs,
            queue="default",
            created_at=due,
            queued_at=due,
            started_at=start if is_tried else None,
            finished_at=None
            if letter == "r"
            else start + timedelta(seconds=took if is_tried else 0),
            worker_id=worker_id if is_tried else None,
            reason={"m": "scheduler_down", "k": "overlap"}.get(letter),
            error={**error, "traceback": None} if is_broken else None,
            exit_code=2 if state is RunState.FAILED else None,
            progress={"fraction": 0.61, "message": None} if job.name == "thumbnails" else None,
            log_bytes=420 if is_broken else 0,
            is_exclusive=True,
        )


if __name__ == "__main__":
    main()
