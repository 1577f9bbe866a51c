"""`jobs-app top`: what runs, what waits and what comes next, drawn again every two seconds."""

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import click

from jobs_app.cli.client import Client, Json, connect
from jobs_app.cli.failure import Unreachable
from jobs_app.cli.format import duration, how_far, one_line, relative
from jobs_app.cli.live_screen import can_redraw, heading, screen, size, table
from jobs_app.cli.output import json_option, print_json
from jobs_app.core import clock
from jobs_app.core.states import RunState, Wait
from jobs_app.core.text import counted

#: Rows of each part where there is no screen to fill, and at least on a screen.
ROWS, LEAST_ROWS = 10, 3

#: Lines of a frame that are no rows: two at the top, and three for each part.
OTHER_LINES = 12

#: The states of runs that have not started.
NOT_STARTED = ",".join((RunState.QUEUED, RunState.WAITING, RunState.RETRYING))


@dataclass(frozen=True, slots=True)
class Frame:
    """What one look at the server has found."""

    running: list[Json]
    waiting: list[Json]
    next: list[Json]
    queues: list[Json]
    attention: int


@click.command()
@click.option(
    "--every",
    metavar="SECONDS",
    type=click.FloatRange(min=0.5),
    default=2.0,
    show_default=True,
    help="The pause between two looks.",
)
@click.option("--once", is_flag=True, help="Print it once; a pipe gets it once, too.")
@json_option
def top(every: float, once: bool, as_json: bool) -> None:
    """Watch what runs, what waits and what comes next. Ctrl-C ends it."""
    client = connect()
    if as_json:
        print_json(asdict(_look(client, ROWS)))
    elif once or not can_redraw():
        width = size()[0] if can_redraw() else None
        frame = _look(client, ROWS)
        click.echo("\n".join(_lines(frame, client.url, at=clock.now(), width=width)))
    else:
        _watch(client, every)


def _watch(client: Client, every: float) -> None:
    """Draw until Ctrl-C; a server that does not answer is asked again."""
    # Without an answer at first, there is nothing to draw.
    frame, note = _look(client, ROWS), ""
    try:
        with screen() as draw:
            while True:
                width, height = size()
                lines = _lines(frame, client.url, at=clock.now(), width=width)
                draw([*lines[:1], one_line(note)[:width], *lines[2:]] if note else lines)
                time.sleep(every)
                try:
                    frame, note = _look(client, max((height - OTHER_LINES) // 3, LEAST_ROWS)), ""
                except Unreachable as failure:
                    note = f"No answer, this is old: {failure.message}"
    except KeyboardInterrupt:
        # The usual way to end it.
        return


def _look(client: Client, rows: int) -> Frame:
    jobs = client.page("/jobs", limit=rows, sort="next")["items"]
    return Frame(
        running=client.page("/runs", limit=rows, state=RunState.RUNNING)["items"],
        waiting=client.page("/runs", limit=rows, state=NOT_STARTED)["items"],
        next=[job for job in jobs if job["next_run_at"]],
        queues=client.page("/queues", limit=None)["items"],
        attention=len(client.read("/attention")["items"]),
    )


def _lines(frame: Frame, url: str, *, at: datetime, width: int | None) -> list[str]:
    """Return the lines of a frame, none longer than *width*."""
    lines = [_fit(f"jobs-app at {url}, {_time(at)}", width), _fit(_summary(frame), width)]
    running = {
        "JOB": _name,
        "FOR": lambda run: _since(run["started_at"], at=at),
        "PROGRESS": lambda run: how_far(run.get("progress")) or "-",
        "ATTEMPT": lambda run: str(run["attempt"]),
        "WORKER": lambda run: run.get("worker") or "-",
        "ID": lambda run: run["id"],
    }
    waiting = {
        "JOB": _name,
        "STATE": lambda run: run["state"],
        "FOR": lambda run: _since(run.get("queued_at") or run["created_at"], at=at),
        "WAITS FOR": _waits_for,
        "QUEUE": lambda run: run["queue"],
        "ID": lambda run: run["id"],
    }
    coming = {
        "JOB": lambda job: job["name"],
        "NEXT RUN": lambda job: relative(job["next_run_at"], at=at),
        "SCHEDULE": lambda job: job.get("description_of_schedule") or "-",
    }
    parts: Sequence[tuple[str, list[Json], Any, tuple[str, ...], str]] = (
        ("Running", frame.running, running, ("ID", "WORKER", "ATTEMPT"), "Nothing runs."),
        ("Waiting", frame.waiting, waiting, ("ID", "QUEUE"), "Nothing waits."),
        ("Next", frame.next, coming, ("SCHEDULE",), "No job has a next fire."),
    )
    for title, items, columns, droppable, empty in parts:
        body = table(items, columns, width=width, droppable=droppable) if items else [empty]
        lines += ["", heading(title), *body]
    return lines


def _summary(frame: Frame) -> str:
    """Return the state of the installation on one line."""
    totals = {
        name: sum(queue[name] for queue in frame.queues)
        for name in ("running", "queued", "waiting", "retrying")
    }
    parts = [f"{count} {name}" for name, count in totals.items() if count or name == "running"]
    oldest = max((queue["oldest_queued_seconds"] or 0 for queue in frame.queues), default=0)
    if oldest >= 1:
        parts.append(f"the oldest for {duration(round(oldest))}")
    if unserved := [queue["name"] for queue in frame.queues if queue["warning"]]:
        parts.append(f"no worker for {one_line(', '.join(unserved))}")
    if frame.attention:
        parts.append(f"{counted(frame.attention, 'line')} in `jobs-app attention`")
    return "; ".join(parts)


def _fit(text: str, width: int | None) -> str:
    return text if width is None else text[:width]


def _time(at: datetime) -> str:
    return at.astimezone().strftime("%H:%M:%S")


def _name(run: Json) -> str:
    return str(run.get("job") or run["task"])


def _since(instant: str | None, *, at: datetime) -> str:
    if instant is None:
        return "-"
    # The clock of the server may be ahead of ours.
    return duration(round(max((at - datetime.fromisoformat(instant)).total_seconds(), 0.0)))


def _waits_for(run: Json) -> str:
    wait = run.get("waits_for")
    return Wait(wait).words if wait else "-"
