"""Tell a container's health check whether its process works: `health.py web|scheduler|worker`.

It exits with 0 if so, else with 1 and a sentence.
"""

import http.client
import os
import socket
import sys
from datetime import datetime, timedelta

#: Several heartbeats and ticks: a single late one must not raise an alarm.
SILENCE_ALLOWED = timedelta(seconds=60)


def web_answers(port: int) -> bool:
    """Return True if the web server of this container answers /healthz on *port*."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=4)
    try:
        connection.request("GET", "/healthz")
        return connection.getresponse().status == 200
    finally:
        connection.close()


def gives_sign_of_life(kind: str, host: str) -> bool:
    """Return True if a process of *kind* on *host* wrote to the database lately."""
    # The check of the web server runs often and needs none of this: 0.4 s of processor time.
    from sqlalchemy import func, select  # noqa: PLC0415 (see above)

    from jobs_app.core import clock  # noqa: PLC0415 (see above)
    from jobs_app.core.settings import Settings  # noqa: PLC0415 (see above)
    from jobs_app.db.engine import Database  # noqa: PLC0415 (see above)
    from jobs_app.db.models.processes import SchedulerProcess, Worker  # noqa: PLC0415 (see above)

    if kind == "scheduler":
        statement = select(func.max(SchedulerProcess.ticked_at)).where(
            SchedulerProcess.name.contains(host, autoescape=True)
        )
    else:
        statement = select(func.max(Worker.seen_at)).where(
            Worker.name.contains(host, autoescape=True), Worker.gone_at.is_(None)
        )
    database = Database(Settings().effective_database_url)
    try:
        with database.reading() as session:
            seen_at: datetime | None = session.scalars(statement).one()
    finally:
        database.close()
    return seen_at is not None and clock.now() - seen_at <= SILENCE_ALLOWED


def process_works(kind: str) -> bool:
    """Return True if the process of *kind* in this container works."""
    if kind == "web":
        return web_answers(int(os.environ.get("JOBS_PORT", "5000")))
    return gives_sign_of_life(kind, socket.gethostname())


def main(arguments: list[str]) -> int:
    """Return the exit code for the kind of process that *arguments* name."""
    match arguments:
        case [("web" | "scheduler" | "worker") as kind]:
            pass
        case _:
            sys.stderr.write("usage: health.py web|scheduler|worker\n")
            return 2
    try:
        works = process_works(kind)
    except Exception as error:  # noqa: BLE001 (any error means that the process is not healthy)
        sys.stderr.write(f"the {kind} could not be asked: {type(error).__name__}\n")
        return 1
    if not works:
        sys.stderr.write(f"the {kind} on {socket.gethostname()} gives no sign of life\n")
    return 0 if works else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
