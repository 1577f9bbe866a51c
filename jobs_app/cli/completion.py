"""Names for the Tab key, asked of the server and forgotten when it does not answer."""

from collections.abc import Callable
from contextlib import closing
from typing import Any

import click

from jobs_app.cli.client import Client, bearer_token, server_url

CONNECT_SECONDS = 0.2
ANSWER_SECONDS = 0.3
MOST = 100


def job_names(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Return the names of jobs that begin with *incomplete*; none at all if anything goes wrong."""
    return _names(
        incomplete, "name", lambda client: client.get("/jobs", q=incomplete or None, limit=MOST)
    )


def queue_names(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Return the queues that begin with *incomplete*; none at all if anything goes wrong."""
    return _names(incomplete, "name", lambda client: client.get("/queues"))


def key_names(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Return the concurrency keys that begin so; none at all if anything goes wrong."""
    return _names(incomplete, "key", lambda client: client.get("/concurrency"))


def secret_names(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Return the secrets that begin with *incomplete*; none at all if anything goes wrong."""
    return _names(incomplete, "name", lambda client: client.get("/secrets", limit=MOST))


def task_names(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Return the tasks that begin with *incomplete*; none at all if anything goes wrong."""
    return _names(incomplete, "name", lambda client: client.get("/tasks"))


def channel_names(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Return the channels that begin with *incomplete*; none at all if anything goes wrong."""
    return _names(incomplete, "name", lambda client: client.get("/channels", limit=MOST))


def _names(incomplete: str, field: str, ask: Callable[[Client], Any]) -> list[str]:
    """Return what *ask* lists and begins with *incomplete*.

    The connection and the answer have half a second together: whoever presses
    Tab would rather type on than wait, or read an error in the prompt.
    """
    import httpx

    try:
        url = server_url()
        timeout = httpx.Timeout(ANSWER_SECONDS, connect=CONNECT_SECONDS)
        with closing(Client(url, bearer_token(url), timeout=timeout)) as client:
            names = [str(item[field]) for item in ask(client).body["items"]]
    except Exception:  # noqa: BLE001  # an answer of any shape must leave the prompt alone
        return []
    return sorted(name for name in names if name.startswith(incomplete))
