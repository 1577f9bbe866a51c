"""Names, instants and durations as the sentences of an explanation write them."""

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from jobs_app.jobs.explain_context import FireContext
from jobs_app.schedules import schedule as schedules
from jobs_app.schedules.description import describe
from jobs_app.schedules.union import Schedules, causes, names_local_time, union


def by(who: str | None) -> str:
    """Return " by WHO"; "" if nobody is on record."""
    return f" by {who}" if who else ""


def stamp(context: FireContext, instant: datetime) -> str:
    """Return *instant* as the clock of the job's zone shows it, with the zone's short name."""
    local = instant.astimezone(ZoneInfo(context.rules.timezone))
    has_seconds = local.second or local.microsecond >= 500_000
    clock = "%Y-%m-%d %H:%M:%S %Z" if has_seconds else "%Y-%m-%d %H:%M %Z"
    return local.strftime(clock)


def watches(context: FireContext, *, is_past: bool = False) -> str:
    """Return that the job only watches, or watched, since when and by whom."""
    since = context.watched_since
    began = "" if since is None else f" since {stamp(context, since)}"
    return f"the job only {'watched' if is_past else 'watches'}{began}{by(context.watched_by)}"


def of_which(context: FireContext) -> str:
    """Return a sentence about which of several schedules the fire is of, else ""."""
    schedule = context.rules.schedule
    if context.fire is None or not isinstance(schedule, Schedules):
        return ""
    indexes = causes(schedule, context.fire.at)
    firing = union([schedule.parts[index] for index in indexes])
    if firing is None:
        return ""
    numbers = " and ".join(str(index + 1) for index in indexes)
    if len(indexes) == 1:
        return f"It is a fire of schedule {numbers} of {len(schedule.parts)}: {describe(firing)}."
    return f"It is one fire of the schedules {numbers}: {describe(firing)}."


def span(length: timedelta) -> str:
    """Return a duration in its two largest units: "0.4 s", "42 s", "2 min 5 s", "3 h"."""
    seconds = max(length / timedelta(seconds=1), 0.0)
    if 0 < seconds < 0.1:
        return f"{max(seconds, 0.001):.1g} s"
    if seconds < 10 and seconds != int(seconds):
        return f"{seconds:.1f} s"
    rest = round(seconds)
    parts = []
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s")):
        number, rest = divmod(rest, size)
        if number:
            parts.append(f"{number} {unit}")
        elif parts:
            break
    return " ".join(parts[:2]) or "0 s"


def clock_note(context: FireContext) -> str:
    """Return a sentence if the clock skips or repeats the local time, else ""."""
    schedule, zone = context.rules.schedule, context.rules.timezone
    local = context.instant.astimezone(ZoneInfo(zone))
    if context.asked is not None and not schedules.instants_of(zone, context.asked):
        start, end = schedules.gap_of(zone, context.asked)
        moved = f"{start:%H:%M} to {end.astimezone(ZoneInfo(zone)):%H:%M}"
        text = (
            f"{context.asked:%H:%M} does not exist on {context.asked:%Y-%m-%d} in {zone}:"
            f" the clock goes from {moved}"
        )
        return text + (f", and the fire comes at {local:%H:%M}." if context.fire else ".")
    if not schedules.is_repeated(zone, context.instant):
        is_moved = context.fire is not None and context.fire.dst == "gap"
        return "This fire stands for a time that the clock skips that day." if is_moved else ""
    text = f"{local:%H:%M} comes twice on {local:%Y-%m-%d} in {zone}"
    if schedule is not None and names_local_time(schedule, local.replace(tzinfo=None)):
        which = "this is the second" if local.fold else "this is the first"
        return f"{text}, and it fires the first time only; {which}."
    return f"{text}; this is the {'second' if local.fold else 'first'} time."
