"""`jobs-app import redbeat`: jobs from the entries of RedBeat in a Redis."""

from collections.abc import Sequence
from typing import Any
from urllib.parse import SplitResult, parse_qs, urlsplit

import click

from jobs_app.cli.client import connect
from jobs_app.cli.commands.import_beat import beat_options, general_differences
from jobs_app.cli.failure import DOWN, USAGE, Failure
from jobs_app.cli.import_run import check_options, run_import
from jobs_app.cli.import_sources import BEAT
from jobs_app.cli.source_address import read_address

SCHEMES = ("redis", "rediss", "unix")
BAD_URL = "The URL must be like redis://HOST:PORT/DB, rediss://… or unix://PATH."


@click.command(short_help="Entries of RedBeat in a Redis.")
@click.argument("url")
@click.option(
    "--key-prefix", default="redbeat:", show_default=True, help="The redbeat_key_prefix there."
)
@beat_options
def redbeat(url: str, key_prefix: str, **flags: Any) -> None:
    """Make jobs of the entries of RedBeat in the Redis at URL; - reads it from standard input.

    Nothing is written there. Redis does not have the time zone of crontabs: --timezone is that
    of your application (`timezone`), by default UTC, as with Celery. The server must have the
    tasks (JOBS_IMPORTS), unless --send-to names the workers that have. The report names each
    entry: the job it becomes, what is not as in beat, or why it is refused. Then the command asks.

    \b
    Examples:
      jobs-app import redbeat redis://cache:6379/1 --timezone Europe/Paris --dry-run
      jobs-app import redbeat - --like-beat --yes < url.txt
    """
    _import(read_address(url), key_prefix, **flags)


def _import(
    url: str,
    key_prefix: str,
    *,
    label: str | None,
    like_beat: bool,
    send_to: str | None,
    results_from: str | None,
    timezone: str | None,
    prefix: str,
    tags: Sequence[str],
    **flags: Any,
) -> None:
    # Late, for the start of other commands: Celery takes a while to import.
    from redis.exceptions import RedisError

    from jobs_app.cli.periodic_sources import LIKE_BEAT, source_of, tasks_of, workers_of
    from jobs_app.core import clock
    from jobs_app.jobs.importers.redbeat_store import entries_of, read_store

    zone = timezone or "UTC"
    if prefix.endswith(":"):
        raise click.UsageError("--prefix begins the names of jobs. RedBeat's is --key-prefix.")
    check_options(prefix=prefix, zone=zone, label=label)
    workers = workers_of(send_to, results_from)
    place = _place(url)
    try:
        stored = read_store(url, key_prefix)
    except (ValueError, TypeError) as error:
        # Its text may quote a part of the password.
        raise Failure(BAD_URL, USAGE) from error
    except (RedisError, OSError) as error:
        raise Failure(f"The Redis at {place} cannot be read: {error}", DOWN) from error
    if not stored:
        raise Failure(f"The Redis at {place} has no entry with the prefix {key_prefix!r}.")
    source = source_of(
        entries_of(stored, timezone=zone, at=clock.now()),
        title=f"Redis {place}",
        form=f"entries of RedBeat, prefix {key_prefix}",
        origin=f"redbeat {label or f'{place} {key_prefix}'}",
        manner=BEAT,
        tasks=tasks_of(connect()),
        prefix=prefix,
        like_source=LIKE_BEAT if like_beat else {},
        workers=workers,
    )
    reason = "as --timezone says" if timezone else "as with Celery (--timezone for another)"
    general = [*general_differences([source]), f"Crontabs are read in {zone}, {reason}."]
    defaults = {"timezone": zone, "is_typed": timezone is not None, "tags": tags}
    run_import([source], defaults, general, **flags)


def _place(url: str) -> str:
    """Return the host, port and database of *url*, without its user; raises Failure."""
    try:
        parts = urlsplit(url)
        return _place_of(parts)
    except ValueError as error:
        raise Failure(BAD_URL, USAGE) from error


def _place_of(parts: SplitResult) -> str:
    if parts.scheme not in SCHEMES:
        raise ValueError(parts.scheme)
    database = parse_qs(parts.query).get("db", ["0"])[0]
    if parts.scheme == "unix":
        return parts.path + (f"?db={database}" if database != "0" else "")
    database = parts.path.strip("/") or database
    return f"{parts.hostname or 'localhost'}:{parts.port or 6379}/{database}"
