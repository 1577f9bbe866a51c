"""The zone in which a command reads and writes times: that of the job, else JOBS_TIMEZONE."""

from datetime import tzinfo
from zoneinfo import ZoneInfo

import click

from jobs_app.cli.client import Json, connect
from jobs_app.core import clock
from jobs_app.core.text import rfc3339
from jobs_app.schedules import timezones
from jobs_app.schedules.typed_time import TypedTime, instant_of, skipped_note

#: Keys of what a command knows: the zone of the server, and that of the answer.
_SERVER, _SHOWN = f"{__name__}.server", f"{__name__}.shown"


def zone_named(name: str) -> ZoneInfo:
    """Return the zone *name*; raises UsageError if this machine does not have it."""
    try:
        return timezones.load(name)
    except (KeyError, ValueError, OSError) as error:
        known = " or ".join(timezones.suggestions(name))
        hint = f" Did you mean {known}?" if known else ""
        raise click.UsageError(f"{name!r} is not an IANA time zone.{hint}") from error


def server_zone() -> ZoneInfo | None:
    """Return the JOBS_TIMEZONE of the server; None if it does not say, or without a command."""
    context = click.get_current_context(silent=True)
    if context is None:
        return None
    if _SERVER not in context.meta:
        answer = connect().find("/me")
        name = None if answer is None else answer.body.get("timezone")
        context.meta[_SERVER] = zone_named(name) if name else None
    zone: ZoneInfo | None = context.meta[_SERVER]
    return zone


def zone_of_job(job: Json | None) -> str | None:
    """Return the zone of the schedule of a job; None without one."""
    zone = ((job or {}).get("schedule") or {}).get("timezone")
    return None if zone is None else str(zone)


def show_in(name: str | None) -> None:
    """Write the times of the answer that follows in the zone *name*; None: in the server's."""
    context = click.get_current_context(silent=True)
    if context is not None:
        context.meta[_SHOWN] = None if name is None else zone_named(name)


def shown_zone() -> tzinfo | None:
    """Return the zone in which times are written; None for that of the terminal.

    The terminal's is only for a server that does not say its own.
    """
    context = click.get_current_context(silent=True)
    zone: ZoneInfo | None = None if context is None else context.meta.get(_SHOWN)
    return zone or server_zone()


def api_time(typed: TypedTime, zone_name: str | None, *, is_ahead: bool) -> str:
    """Return the instant that was typed, as the API takes it.

    It is read in the zone *zone_name*, else in that of the server. Raises UsageError. A local
    time that the clock skips has a note on standard error.
    """
    zone = zone_named(zone_name) if zone_name else None
    if zone is None and typed.needs_zone:
        zone = server_zone()
    try:
        instant = instant_of(typed, at=clock.now(), zone=zone, is_ahead=is_ahead)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    if zone is not None and (note := skipped_note(typed, instant, zone)):
        click.echo(f"Note: {note}", err=True)
    # A duration from now is not typed to the microsecond.
    return rfc3339(instant if typed.shift is None else instant.replace(microsecond=0))
