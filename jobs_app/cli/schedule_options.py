"""The options that say when a job runs, and the schedules that they make."""

from collections.abc import Sequence
from typing import Any

import click

from jobs_app.cli.client import Json
from jobs_app.cli.completion import zone_names
from jobs_app.cli.format import Duration, Instant, Interval, OrNone
from jobs_app.cli.output import options
from jobs_app.cli.schedule_json import without_nulls
from jobs_app.cli.zones import api_time
from jobs_app.jobs.document import fields_of_others
from jobs_app.schedules import cron_timezone
from jobs_app.schedules.typed_time import TypedTime

#: The options of which each stands for a schedule, in the order of the schedules.
KINDS = ("cron", "every", "at")

#: The option of a schedule that fires when jobs-app starts.
ON_START = "on_start"

#: The parameters that change the schedules of a job.
SCHEDULE_PARAMETERS = frozenset(
    {*KINDS, ON_START, "manual", "timezone", "anchor", "start_at", "end_at", "jitter"}
)

schedule_options = options(
    click.option(
        "--cron",
        multiple=True,
        help="Five-field cron expression, or @daily and the like. --cron, --every and --at are"
        " repeatable: then the job has several schedules.",
    ),
    click.option(
        "--every",
        multiple=True,
        type=Interval(),
        help="At this interval: 30s, 5m, 1h30m; or 1d, '2 weeks', '3 months' at one local time.",
    ),
    click.option(
        "--at",
        multiple=True,
        type=Instant(),
        help="Once: 02:30, tomorrow 09:00, 5m (from now), a date or an instant.",
    ),
    click.option("--on-start", is_flag=True, help="When jobs-app starts: cron's @reboot."),
    click.option(
        "--timezone", shell_complete=zone_names, help="IANA zone of --cron, --every and --at."
    ),
    click.option(
        "--anchor",
        type=OrNone(Instant()),
        help="With --every: fires lie at this instant, and whole intervals from it.",
    ),
    click.option("--start-at", type=OrNone(Instant()), help="No fire before this instant."),
    click.option("--end-at", type=OrNone(Instant()), help="No fire at or after this instant."),
    click.option("--jitter", type=Duration(), help="Spread the starts over this long."),
)


def schedules_from(options: dict[str, Any], *, present: Sequence[Json] = ()) -> list[Json]:
    """Return the schedules that the options give, in place of the *present* ones.

    Without one of --cron, --every, --at and --on-start, they are the present ones with the
    other options.
    """
    # Zero and "" count as typed: the server refuses them with a reason.
    typed = [(kind, value) for kind in KINDS for value in options.get(kind) or ()]
    if options.get(ON_START):
        typed.append(("on", "start"))
    if options.get("manual"):
        if typed:
            kind = "on-start" if typed[0][0] == "on" else typed[0][0]
            raise click.UsageError(f"Choose one of --{kind} and --manual.")
        return []
    before = [without_nulls(schedule) for schedule in present]
    if not typed:
        timezone = {"timezone": options["timezone"]} if options.get("timezone") else {}
        schedules = [schedule | timezone for schedule in before or [{}]]
        return [_with_others(one, options, is_only=len(before) < 2) for one in schedules]
    first = before[0] if before else {}
    if len(typed) > 1 or len(before) > 1:
        # Where the new ones come from is not known: none has what belonged to one kind.
        others = fields_of_others([])
        first = {name: value for name, value in first.items() if name not in others}
    schedules = [_of_kind(kind, value, options, first) for kind, value in typed]
    return [_with_others(one, options, is_only=len(typed) == 1) for one in schedules]


def _of_kind(kind: str, value: Any, options: dict[str, Any], previous: Json) -> Json:
    """Return *previous* turned into a schedule of *kind*, with its own fields only."""
    # The server reads the zone in front of an expression.
    in_front = cron_timezone.divide(value)[0] if kind == "cron" else None
    zone = options.get("timezone")
    if kind == "at":
        value = _instant(value, zone or previous.get("timezone"))
    # An interval of the calendar is text.
    key = "interval_seconds" if kind == "every" and not isinstance(value, str) else kind
    others = fields_of_others([key])
    schedule = {name: value for name, value in previous.items() if name not in others}
    if in_front and not zone:
        schedule.pop("timezone", None)
    return schedule | {key: value} | ({"timezone": zone} if zone else {})


def _with_others(schedule: Json, options: dict[str, Any], *, is_only: bool) -> Json:
    """Return *schedule* with the options that do not name its kind.

    Of several schedules, those without an interval have no anchor.
    """
    in_front, _ = cron_timezone.divide(schedule.get("cron") or "")
    zone = in_front or schedule.get("timezone")
    changed = dict(schedule)
    for option, field in (("anchor", "anchor_at"), ("start_at", "start_at"), ("end_at", "end_at")):
        has_field = (
            field != "anchor_at" or is_only or {"interval_seconds", "every"} & changed.keys()
        )
        if option in options and has_field:
            changed[field] = _instant(options[option], zone)
    if options.get("jitter") is not None:
        changed["jitter_seconds"] = options["jitter"]
    return changed


def _instant(typed: TypedTime | None, zone: str | None) -> str | None:
    return None if typed is None else api_time(typed, zone, is_ahead=True)
