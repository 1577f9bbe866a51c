"""`jobs-app queues`, `workers` and `concurrency`: queues, the workers on them, and keys."""

import sys

import click

from jobs_app.cli.client import Json, connect
from jobs_app.cli.completion import key_names, queue_names
from jobs_app.cli.failure import FAILED, NO_SUCH, Failure
from jobs_app.cli.format import duration, relative
from jobs_app.cli.output import as_table, json_option, json_or, print_json, print_note
from jobs_app.cli.run_view import instant_text
from jobs_app.core import clock


def _other_runs(queue: Json) -> str:
    states = ("parked", "waiting", "retrying")
    return ", ".join(f"{queue[state]} {state}" for state in states if queue[state])


_print_queues = as_table(
    {
        "QUEUE": lambda queue: queue["name"],
        "WORKERS": lambda queue: str(queue["workers"] or "none"),
        "SLOTS": lambda queue: str(queue["slots"]),
        "JOBS": lambda queue: str(queue["jobs"]),
        "QUEUED": lambda queue: str(queue["queued"]),
        "OLDEST": lambda queue: _age(queue["oldest_queued_seconds"]),
        "RUNNING": lambda queue: str(queue["running"]),
        "OTHERS": _other_runs,
    },
    empty="No queue: no worker lives, and no job names one.",
    droppable={"SLOTS", "OTHERS"},
)


@click.command()
@click.argument("names", nargs=-1, metavar="[NAME]...", shell_complete=queue_names)
@click.option("--check", is_flag=True, help="Exit with 1 if one is needed and no worker serves it.")
@json_option
def queues(names: tuple[str, ...], check: bool, as_json: bool) -> None:
    """List queues: who serves them, what waits in them, and for how long.

    Without NAME, every queue that a worker serves, a job names, or a run waits in.
    """
    answer = _named("/queues", names, key="name", noun="queue")
    (print_json if as_json else _print_queues)(answer)
    unserved = [item for item in answer["items"] if item["warning"]]
    for item in unserved:
        start = f"jobs-app worker --queues {item['name']}"
        print_note(f"Note: {item['warning']} Start one with: {start}")
    if check and unserved:
        sys.exit(FAILED)


def _seen(worker: Json) -> str:
    if worker["gone_at"]:
        return f"gone {relative(worker['gone_at'], at=clock.now())}"
    return f"{_age(worker['seen_seconds_ago'])} ago"


@click.command()
@click.option("--gone", is_flag=True, help="Also the newest of those that stopped or vanished.")
@json_or(
    as_table(
        {
            "WORKER": lambda worker: worker["name"],
            "QUEUES": lambda worker: ",".join(worker["queues"]),
            "POOL": lambda worker: worker["pool"],
            "FREE": lambda worker: f"{worker['free']} of {worker['concurrency']}",
            "SEEN": _seen,
            "STARTED": lambda worker: instant_text(worker["started_at"]),
            "RUNS": lambda worker: ", ".join(
                f"{run['job'] or run['task']} ({_age(run['running_seconds'])}) {run['id']}"
                for run in worker["runs"]
            ),
        },
        empty="No worker lives. Start one: jobs-app worker",
        droppable={"STARTED", "POOL"},
    )
)
def workers(gone: bool) -> Json:
    """List the workers that live, and what each of them runs."""
    return connect().read("/workers", include="gone" if gone else None)


@click.command()
@click.argument("keys", nargs=-1, metavar="[KEY]...", shell_complete=key_names)
@json_or(
    as_table(
        {
            "KEY": lambda item: item["key"],
            "LIMIT": lambda item: " or ".join(map(str, item["limits"])),
            "RUNNING": lambda item: str(item["running"]),
            "QUEUED": lambda item: str(item["queued"]),
            "OLDEST": lambda item: _age(item["oldest_queued_seconds"]),
            "JOBS": lambda item: str(item["jobs"]),
        },
        empty="No job has a concurrency key. Give it one: jobs-app job edit NAME"
        " --concurrency-key db-main --concurrency-limit 2",
    )
)
def concurrency(keys: tuple[str, ...]) -> Json:
    """List concurrency keys, with their limits, running and waiting runs."""
    return _named("/concurrency", keys, key="key", noun="concurrency key")


def _named(path: str, names: tuple[str, ...], *, key: str, noun: str) -> Json:
    """Return the list at *path*: the items with these names, or all without names.

    *noun* says what an item is. Raises Failure if one is missing.
    """
    items = connect().page(path, limit=None)["items"]
    known = [str(item[key]) for item in items]
    for name in names:
        if name not in known:
            others = f"These exist: {', '.join(known)}." if known else "None exists."
            raise Failure(f"There is no {noun} {name!r}. {others}", NO_SUCH)
    return {"items": [item for item in items if not names or item[key] in names]}


def _age(seconds: float | None) -> str:
    return duration(None if seconds is None else round(max(seconds, 0.0)))
