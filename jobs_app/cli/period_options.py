"""The options --from and --to of a list."""

from collections.abc import Callable
from datetime import datetime
from functools import wraps
from typing import Any

import click

from jobs_app.cli.client import connect
from jobs_app.cli.format import Instant
from jobs_app.cli.output import print_note
from jobs_app.cli.paths import job_path
from jobs_app.cli.zones import api_time, server_zone, zone_named, zone_of_job
from jobs_app.schedules.typed_time import TypedTime, named


def period_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add --from and --to, which give the command `period`: the same for a list of the API.

    A time without an offset is read in the zone of the job that --job names, if any.
    """

    @click.option(
        "--from",
        "since",
        type=Instant(),
        help="Not before: 2h (ago), 22:00, yesterday, last night, a date or an instant.",
    )
    @click.option(
        "--to", "until", type=Instant(), help="Before: 2h (ago), 06:00, today, or an instant."
    )
    @wraps(command)
    def limited(*, since: TypedTime | None, until: TypedTime | None, **options: Any) -> Any:
        typed = {name: at for name, at in (("from", since), ("to", until)) if at is not None}
        return command(period=_period(typed, options.get("job")), **options)

    return limited


def _period(typed: dict[str, TypedTime], job: str | None) -> dict[str, str]:
    """Return the period for the API; say which instants are meant where a zone decides."""
    local = [name for name, at in typed.items() if at.needs_zone]
    zone = _zone_name(job) if local else None
    period = {name: api_time(at, zone, is_ahead=False) for name, at in typed.items()}
    if local and zone is not None:
        ends = (
            f"--{name} {named(datetime.fromisoformat(period[name]), zone_named(zone))}"
            for name in local
        )
        print_note(f"Read as {', '.join(ends)}.")
    return period


def _zone_name(job: str | None) -> str | None:
    answer = None if job is None else connect().find(job_path(job))
    if name := zone_of_job(None if answer is None else answer.body):
        return name
    zone = server_zone()
    return None if zone is None else zone.key
