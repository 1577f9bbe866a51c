"""Names for the Tab key, read from the server; none when it does not answer."""

from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from functools import wraps
from urllib.parse import quote
from zoneinfo import available_timezones

import click
from click.shell_completion import CompletionItem

from jobs_app.cli.client import Client, Json
from jobs_app.cli.run_ids import is_prefix
from jobs_app.core.states import UNFINISHED

CONNECT_SECONDS = 0.2
ANSWER_SECONDS = 0.3
MOST = 100


Completion = Callable[[click.Context, click.Parameter, str], list[str]]


def _silent(complete: Completion) -> Completion:
    """Return *complete*, which then has no suggestions if anything goes wrong."""

    @wraps(complete)
    def attempt(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
        try:
            return complete(ctx, param, incomplete)
        except Exception:  # noqa: BLE001  # an answer of any shape must leave the prompt alone
            return []

    return attempt


def _read(path: str, **params: object) -> Json:
    """Return the answer of the server; raises Failure after half a second.

    A person who presses Tab would rather type on than wait, or read an error in the prompt.
    """
    with closing(Client(connect_seconds=CONNECT_SECONDS, answer_seconds=ANSWER_SECONDS)) as client:
        return client.read(path, **params)


def _completion(
    path: str,
    *,
    field: str = "name",
    limit: int | None = None,
    is_searched: bool = False,
    **filters: str,
) -> Completion:
    """Return a function that completes the names in the list at *path*."""

    @_silent
    def complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
        query = incomplete or None if is_searched else None
        items = _read(path, q=query, limit=limit, **filters)["items"]
        names = [str(item[field]) for item in items]
        return sorted(name for name in names if name.startswith(incomplete))

    return complete


job_names = _completion("/jobs", limit=MOST, is_searched=True)
queue_names = _completion("/queues", limit=MOST)
key_names = _completion("/concurrency", field="key", limit=MOST)
secret_names = _completion("/secrets", limit=MOST)
task_names = _completion("/tasks")
channel_names = _completion("/channels", limit=MOST)
token_names = _completion("/tokens")
person_names = _completion("/people", limit=MOST)


def _run_ids(incomplete: str, filters: Mapping[str, str]) -> list[str]:
    prefix = incomplete if is_prefix(incomplete) else None
    runs = _read("/runs", limit=MOST, id_prefix=prefix, **filters)["items"]
    return sorted(str(run["id"]) for run in runs if str(run["id"]).startswith(incomplete))


def _run_or_job_names(**filters: str) -> Completion:
    """Return a completion of the names of jobs, and of the ids of runs with these filters.

    Ids are offered as soon as something is typed, of the newest runs only while it is short.
    """

    @_silent
    def complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
        ids = _run_ids(incomplete, filters) if incomplete else []
        return ids + job_names(ctx, param, incomplete)

    return complete


run_or_job_names = _run_or_job_names()
unfinished_run_or_job_names = _run_or_job_names(state=",".join(UNFINISHED))


@_silent
def tag_names(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Return the tags of all jobs that begin with *incomplete*."""
    tags = _read("/jobs", limit=1, include="facets")["facets"]["tags"]
    return sorted(tag for tag in tags if tag.startswith(incomplete))


def parts_of(known: Iterable[str], incomplete: str) -> list[CompletionItem]:
    """Return the values of an option that takes some of *known* with commas between them."""
    before, comma, last = incomplete.rpartition(",")
    rest = (name for name in known if name not in before.split(",") and name.startswith(last))
    return [CompletionItem(f"{before}{comma}{name}") for name in rest]


def revision_numbers(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Return the numbers of the newest revisions of the job that is typed already."""
    name = quote(str(ctx.params.get("name") or ""), safe="", errors="replace")
    complete = _completion(f"/jobs/{name}/revisions", field="number", limit=MOST)
    return sorted(complete(ctx, param, incomplete), key=int, reverse=True)


def zone_names(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Return the time zones that this machine knows; their case need not be typed."""
    begin = incomplete.lower()
    return sorted(zone for zone in available_timezones() if zone.lower().startswith(begin))
