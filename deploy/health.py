"""Tell a container's health check whether its process works: `health.py web|scheduler|worker`.

It exits with 0 if so, else with 1 and a sentence.
"""

import socket
import sys
import urllib.request
from datetime import datetime, timedelta

from sqlalchemy import func, select

from jobs_app.core import clock
from jobs_app.core.settings import Settings
from jobs_app.db.engine import Database
from jobs_app.db.models.processes import SchedulerProcess, Worker

#: Several heartbeats and ticks: a single late one must not raise an alarm.
SILENCE_ALLOWED = timedelta(seconds=60)


def web_answers(settings: Settings) -> bool:
    """Return True if the web server of this container answers /healthz."""
    address = f"http://127.0.0.1:{settings.port}/healthz"
    with urllib.request.urlopen(address, timeout=4) as answer:
        return bool(answer.status == 200)


def last_sign_of_life(database: Database, kind: str, host: str) -> datetime | None:
    """Return when a process of *kind* on *host* last wrote to the database, None if never."""
    if kind == "scheduler":
        statement = select(func.max(SchedulerProcess.ticked_at)).where(
            SchedulerProcess.name.contains(host, autoescape=True)
        )
    else:
        statement = select(func.max(Worker.seen_at)).where(
            Worker.name.contains(host, autoescape=True), Worker.gone_at.is_(None)
        )
    with database.reading() as session:
        return session.scalars(statement).one()


def process_works(kind: str, settings: Settings) -> bool:
    """Return True if the process of *kind* in this container gave a recent sign of life."""
    if kind == "web":
        return web_answers(settings)
    database = Database(settings.effective_database_url)
    try:
        seen_at = last_sign_of_life(database, kind, socket.gethostname())
    finally:
        database.close()
    return seen_at is not None and clock.now() - seen_at <= SILENCE_ALLOWED


def main(arguments: list[str]) -> int:
    """Return the exit code for the kind of process that *arguments* name."""
    match arguments:
        case [("web" | "scheduler" | "worker") as kind]:
            pass
        case _:
            sys.stderr.write("usage: health.py web|scheduler|worker\n")
            return 2
    try:
        works = process_works(kind, Settings())
    except Exception as error:  # noqa: BLE001 (any error means that the process is not healthy)
        sys.stderr.write(f"the {kind} could not be asked: {type(error).__name__}\n")
        return 1
    if not works:
        sys.stderr.write(f"the {kind} on {socket.gethostname()} gives no sign of life\n")
    return 0 if works else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
