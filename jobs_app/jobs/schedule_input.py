"""The schedules that a document describes: read, completed and checked."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from jobs_app.core import durations
from jobs_app.core.errors import FieldError, InvalidInput, InvalidSchedule, refuse
from jobs_app.core.settings import Settings
from jobs_app.jobs.document import KINDS
from jobs_app.schedules import calendar_interval, cron_timezone, timezones, validation
from jobs_app.schedules.schedule import Schedule, anchored, unknown_zone
from jobs_app.schedules.union import AnySchedule, parts_of, union


def schedules_from(
    document: Mapping[str, Any],
    settings: Settings,
    *,
    seed: str = "",
    default_timezone: str | None = None,
) -> AnySchedule | None:
    """Return what `schedule` or `schedules` of *document* describe; None: by hand only.

    Whoever sends back an answer sends both: then `schedule` is the first one of `schedules`.
    Raises InvalidInput, with pointers into the document.
    """

    errors: list[FieldError] = []

    def read(schedule: Mapping[str, Any], pointer: str) -> Schedule | None:
        try:
            return schedule_from(schedule, settings, seed=seed, default_timezone=default_timezone)
        except InvalidInput as error:
            errors.extend(error.under(pointer).errors)
            return None

    alone = document.get("schedule")
    first = None if alone is None else read(alone, "/schedule")
    listed = [
        read(schedule, f"/schedules/{index}")
        for index, schedule in enumerate(document.get("schedules") or ())
    ]
    refuse(errors)
    parts = [part for part in listed if part is not None]
    if "schedules" not in document:
        return first
    if "schedule" in document and first != (parts[0] if parts else None):
        detail = (
            "schedule and schedules disagree: send one of them, or both with schedule as the"
            " first one of schedules."
        )
        raise InvalidInput(detail, errors=[FieldError("/schedules", "two_schedules", detail)])
    return union(parts)


def with_anchors(
    schedule: AnySchedule, present: AnySchedule | None, *, at: datetime
) -> AnySchedule:
    """Return *schedule* with an anchor for each interval; *present* is that of the job now.

    An interval without an anchor keeps the anchor of the same interval. An only schedule keeps
    that of an only one, even if the interval is another one. Else it begins at *at*.
    """
    parts, known = parts_of(schedule), parts_of(present)

    def anchor(part: Schedule) -> datetime | None:
        if len(parts) == len(known) == 1:
            return known[0].anchor_at
        interval = (part.interval_seconds, part.every)
        same = (one.anchor_at for one in known if (one.interval_seconds, one.every) == interval)
        return next(same, None)

    return union([anchored(part, at=at, anchor_at=anchor(part)) for part in parts]) or schedule


def schedule_errors(
    schedule: AnySchedule | None, present: AnySchedule | None, *, now: datetime
) -> Iterator[FieldError]:
    """Yield the errors of *schedule*, with pointers to `schedule`, or to each in `schedules`.

    What *present*, that of the job now, has is not checked again.
    """
    # A job whose one instant has passed can still be renamed.
    checked = {replace(part, seed="") for part in parts_of(present)}
    parts = parts_of(schedule)
    for index, part in enumerate(parts):
        pointer = "/schedule" if len(parts) == 1 else f"/schedules/{index}"
        if part in parts[:index]:
            detail = f"This is the same as schedule {parts.index(part) + 1}: leave it out."
            yield FieldError(pointer, "same_schedule", detail)
        elif replace(part, seed="") not in checked:
            yield from _errors(part, pointer, now=now)


def _errors(schedule: Schedule, pointer: str, *, now: datetime) -> Sequence[FieldError]:
    try:
        validation.check(schedule, now=now)
    except InvalidSchedule as error:
        return error.under(pointer).errors
    return ()


def schedule_from(
    document: Mapping[str, Any],
    settings: Settings,
    *,
    seed: str = "",
    default_timezone: str | None = None,
) -> Schedule:
    """Return the schedule that *document* describes; the rest is as *settings* have it.

    A zone in front of the cron expression is that of the schedule. Raises InvalidInput, with
    pointers into the schedule, unless it is of exactly one kind, and in one zone.
    """
    _refuse_unless_one_kind(document)
    document = _with_length(_with_start(_with_zone_of_cron(document)))
    jitter = settings.default_jitter_seconds
    # A single instant needs no jitter, and a short interval leaves no room for it.
    is_long = document.get("cron") or document.get("every")
    has_room = is_long or (document.get("interval_seconds") or 0) > jitter
    defaults = {"jitter_seconds": jitter} if has_room else {}
    timezone = document.get("timezone") or default_timezone or settings.timezone
    return Schedule(**(defaults | dict(document) | {"timezone": timezone, "seed": seed}))


def _refuse_unless_one_kind(document: Mapping[str, Any]) -> None:
    kinds = [kind for kind in KINDS if document.get(kind) is not None]
    if len(kinds) != 1:
        present = f"This has {' and '.join(kinds)}." if kinds else "This has none."
        detail = f"A schedule has exactly one of {', '.join(KINDS)}. {present}"
        raise InvalidInput(detail, errors=[FieldError("", "one_schedule", detail)])
    if document.get("anchor_at") is not None and "anchor_at" not in KINDS[kinds[0]]:
        detail = "anchor_at belongs to interval_seconds and every; give start_at for a first fire."
        raise InvalidInput(detail, errors=[FieldError("/anchor_at", "not_an_interval", detail)])


def _with_zone_of_cron(document: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return *document* with the zone in front of its cron expression as its `timezone`."""
    zone, cron = cron_timezone.divide(document.get("cron") or "")
    if zone is None:
        return document
    if not timezones.is_known(zone):
        error = FieldError("/cron", "unknown_timezone", unknown_zone(zone).detail)
        raise InvalidInput(error.detail, errors=[error])
    explicit = document.get("timezone")
    if explicit and explicit != zone:
        detail = f"The expression begins with {zone}, but timezone is {explicit}: give one of them."
        raise InvalidInput(detail, errors=[FieldError("/cron", "two_timezones", detail)])
    return {**document, "cron": cron, "timezone": zone}


def _with_start(document: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return *document* with cron's `@reboot` as the kind that it is here."""
    if (document.get("cron") or "").strip().lower() != "@reboot":
        return document
    return {**document, "cron": None, "on": "start"}


def _with_length(document: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return *document* with its `every` in one spelling, or as seconds if it is no calendar's."""
    every = document.get("every") or ""
    if interval := calendar_interval.read(every):
        return {**document, "every": str(interval)}
    if (seconds := durations.whole_seconds(every)) is not None:
        return {**document, "every": None, "interval_seconds": seconds}
    return document
