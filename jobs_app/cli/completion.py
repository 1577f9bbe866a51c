"""Names for the Tab key, read from the server; none when it does not answer."""

from collections.abc import Callable
from contextlib import closing
from urllib.parse import quote
from zoneinfo import available_timezones

import click

from jobs_app.cli.client import Client
from jobs_app.core.states import UNFINISHED

CONNECT_SECONDS = 0.2
ANSWER_SECONDS = 0.3
MOST = 100


Completion = Callable[[click.Context, click.Parameter, str], list[str]]


def _completion(
    path: str,
    *,
    field: str = "name",
    limit: int | None = None,
    is_searched: bool = False,
    **filters: str,
) -> Completion:
    """Return a function that completes the names in the list at *path*.

    The connection and the answer have half a second together: a person who presses
    Tab would rather type on than wait, or read an error in the prompt.
    """

    def complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
        """Return the names that begin with *incomplete*; none at all if anything goes wrong."""
        query = incomplete or None if is_searched else None
        try:
            with closing(
                Client(connect_seconds=CONNECT_SECONDS, answer_seconds=ANSWER_SECONDS)
            ) as client:
                items = client.read(path, q=query, limit=limit, **filters)["items"]
                names = [str(item[field]) for item in items]
        except Exception:  # noqa: BLE001  # an answer of any shape must leave the prompt alone
            return []
        return sorted(name for name in names if name.startswith(incomplete))

    return complete


job_names = _completion("/jobs", limit=MOST, is_searched=True)
queue_names = _completion("/queues", limit=MOST)
key_names = _completion("/concurrency", field="key", limit=MOST)
secret_names = _completion("/secrets", limit=MOST)
task_names = _completion("/tasks")
channel_names = _completion("/channels", limit=MOST)
run_ids = _completion("/runs", field="id", limit=MOST)
unfinished_run_ids = _completion("/runs", field="id", limit=MOST, state=",".join(UNFINISHED))
token_names = _completion("/tokens")
person_names = _completion("/people", limit=MOST)


def run_or_job_names(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Return the names of jobs, and the ids of runs as soon as something is typed."""
    ids = run_ids(ctx, param, incomplete) if incomplete else []
    return ids + job_names(ctx, param, incomplete)


def revision_numbers(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Return the numbers of the newest revisions of the job that is typed already."""
    name = quote(str(ctx.params.get("name") or ""), safe="", errors="replace")
    complete = _completion(f"/jobs/{name}/revisions", field="number", limit=MOST)
    return sorted(complete(ctx, param, incomplete), key=int, reverse=True)


def zone_names(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Return the time zones that this machine knows; their case need not be typed."""
    begin = incomplete.lower()
    return sorted(zone for zone in available_timezones() if zone.lower().startswith(begin))
