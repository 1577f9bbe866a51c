"""`jobs-app queues`, `workers` and `concurrency`: who works, on what, and what waits for whom."""

import sys

import click

from jobs_app.cli.client import FAILED, NO_SUCH, Failure, Json, connect
from jobs_app.cli.completion import key_names, queue_names
from jobs_app.cli.format import duration, relative
from jobs_app.cli.output import json_option, print_json, print_note, print_table
from jobs_app.cli.run_view import when
from jobs_app.core import clock


@click.command()
@click.argument("names", nargs=-1, metavar="[NAME]...", shell_complete=queue_names)
@click.option("--check", is_flag=True, help="Exit with 1 if one is needed and no worker serves it.")
@json_option
def queues(names: tuple[str, ...], check: bool, as_json: bool) -> None:
    """List queues: who serves them, what waits in them, and for how long.

    All that a worker serves, a job names or a run waits in, or those named.
    """
    items = _named(connect().get("/queues").body["items"], names, key="name")
    if as_json:
        print_json({"items": items})
    else:
        print_table(
            ["QUEUE", "WORKERS", "SLOTS", "JOBS", "QUEUED", "OLDEST", "RUNNING", "OTHERS"],
            [_queue_row(item) for item in items],
            empty="No queue: no worker lives, and no job names one.",
            droppable={"SLOTS", "OTHERS"},
        )
    unserved = [item for item in items if item["warning"]]
    for item in unserved:
        start = f"jobs-app worker --queues {item['name']}"
        print_note(f"Note: {item['warning']} Start one with: {start}")
    if check and unserved:
        sys.exit(FAILED)


def _queue_row(item: Json) -> list[str]:
    others = [f"{item[name]} {name}" for name in ("parked", "waiting", "retrying") if item[name]]
    return [
        item["name"],
        str(item["workers"] or "none"),
        str(item["slots"]),
        str(item["jobs"]),
        str(item["queued"]),
        _since(item["oldest_queued_seconds"]),
        str(item["running"]),
        ", ".join(others),
    ]


@click.command()
@click.option("--gone", is_flag=True, help="Also the newest of those that stopped or vanished.")
@json_option
def workers(gone: bool, as_json: bool) -> None:
    """List the workers that live, and what each of them runs."""
    answer = connect().get("/workers", include="gone" if gone else None).body
    if as_json:
        print_json(answer)
        return
    at = clock.now()
    print_table(
        ["WORKER", "QUEUES", "POOL", "FREE", "SEEN", "STARTED", "RUNS"],
        [
            [
                item["name"],
                ",".join(item["queues"]),
                item["pool"],
                f"{item['free']} of {item['concurrency']}",
                f"gone {relative(item['gone_at'], at=at)}"
                if item["gone_at"]
                else f"{_since(item['seen_seconds_ago'])} ago",
                when(item["started_at"], at=at),
                ", ".join(_at_work(run) for run in item["runs"]),
            ]
            for item in answer["items"]
        ],
        empty="No worker lives. Start one: jobs-app worker",
        droppable={"STARTED", "POOL"},
    )


def _at_work(run: Json) -> str:
    return f"{run['job'] or run['task']} ({_since(run['running_seconds'])}) {run['id']}"


@click.command()
@click.argument("keys", nargs=-1, metavar="[KEY]...", shell_complete=key_names)
@json_option
def concurrency(keys: tuple[str, ...], as_json: bool) -> None:
    """List concurrency keys: how many of their runs run, and how many may."""
    items = _named(connect().get("/concurrency").body["items"], keys, key="key")
    if as_json:
        print_json({"items": items})
        return
    print_table(
        ["KEY", "LIMIT", "RUNNING", "QUEUED", "OLDEST", "JOBS"],
        [
            [
                item["key"],
                " or ".join(map(str, item["limits"])),
                str(item["running"]),
                str(item["queued"]),
                _since(item["oldest_queued_seconds"]),
                str(item["jobs"]),
            ]
            for item in items
        ],
        empty="No job has a concurrency key. Give it one: jobs-app job edit NAME"
        " --concurrency-key db-main --concurrency-limit 2",
    )


def _named(items: list[Json], names: tuple[str, ...], *, key: str) -> list[Json]:
    """Return those that *names* names, all if it is empty. Raises Failure if one is not there."""
    known = [str(item[key]) for item in items]
    for name in names:
        if name not in known:
            there_are = f"there are {', '.join(known)}" if known else "there is none at all"
            raise Failure(f"Nothing is known of {name!r}: {there_are}.", NO_SUCH)
    return [item for item in items if not names or item[key] in names]


def _since(seconds: float | None) -> str:
    return duration(None if seconds is None else round(max(seconds, 0.0)))
