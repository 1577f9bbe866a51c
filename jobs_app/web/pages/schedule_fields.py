"""The schedules of a job, as the texts of a form, and back. Pure, no IO.

The control of a schedule chooses its kind; those of its fields are below it. The control of the
first one is `/schedule`, those of the others are `/schedules/1` and so on.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from jobs_app.core.errors import FieldError
from jobs_app.jobs.document import KINDS, fields_of_others
from jobs_app.schedules.union import MAX_SCHEDULES
from jobs_app.web.pages import form_fields, job_fields
from jobs_app.web.pages.argument_fields import read
from jobs_app.web.pages.form_fields import ControlSpec
from jobs_app.web.pages.form_values import UNSET, Kind, Unset, Values

#: The control of the first schedule, and the beginning of those of the others.
FIRST, MORE = "/schedule", "/schedules"

#: The kind of no schedule: the job is started by hand only.
MANUAL = "manual"

_OF_SCHEDULE = re.compile(rf"((?:\w+:)?)(?:{FIRST}|{MORE}/([0-9]+))(/.*|)")


def control_of(index: int) -> str:
    """Return the control of the schedule at *index*."""
    return f"{MORE}/{index}" if index else FIRST


def specs(count: int) -> list[ControlSpec]:
    """Return the controls of the fields of *count* schedules."""
    return [spec for index in range(count) for spec in job_fields.schedule_specs(control_of(index))]


def count(values: Values) -> int:
    """Return the number of schedules in a form that is `compact`."""
    number = 1
    while control_of(number) in values:
        number += 1
    return number


# ---- a document as texts ----


def texts_of(document: Mapping[str, Any], *, zone: str) -> dict[str, str]:
    """Return the texts that show the schedules of *document*; instants are shown in *zone*."""
    texts = {FIRST: MANUAL}
    for index, schedule in enumerate(_schedules(document)):
        texts |= _texts_of(schedule, control_of(index), zone=schedule.get("timezone") or zone)
    return texts


def _schedules(document: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    listed = document.get("schedules") or [document.get("schedule") or {}]
    listed = listed if isinstance(listed, list) else []
    return [schedule if isinstance(schedule, Mapping) else {} for schedule in listed]


def _texts_of(schedule: Mapping[str, Any], control: str, *, zone: str) -> dict[str, str]:
    kinds = [kind for kind in KINDS if schedule.get(kind) is not None]
    texts = {control: kinds[0] if kinds else MANUAL}
    for spec in job_fields.schedule_specs(control):
        value = schedule.get(spec.name.rpartition("/")[2])
        texts |= form_fields.texts_of(spec, UNSET if value in (None, "") else value, zone=zone)
    return texts


def zone_of(document: Mapping[str, Any], default: str) -> str:
    """Return the time zone of the first schedule of *document*, else *default*."""
    first = next(iter(_schedules(document)), {})
    return str(first.get("timezone") or default)


# ---- texts as a document ----


def schedules_from(values: Values) -> tuple[dict[str, Any], list[FieldError]]:
    """Return the part of a document that the texts *values* are, and their errors.

    It is `schedule` for one schedule or none, or else `schedules`.
    """
    number = count(values)
    if number == 1:
        schedule, errors = _schedule_from(values, FIRST)
        return {"schedule": schedule}, errors
    schedules, errors = [], []
    for index in range(number):
        schedule, wrong = _schedule_from(values, control_of(index))
        if schedule is None:
            detail = "By hand only goes with no other schedule: choose when it runs, or remove it."
            wrong = [FieldError(control_of(index), "manual", detail)]
        schedules.append(schedule or {})
        errors += wrong
    return {"schedules": schedules}, errors


def _schedule_from(values: Values, control: str) -> tuple[dict[str, Any] | None, list[FieldError]]:
    chosen = values.get(control, "")
    if chosen not in KINDS:
        return None, []
    others = fields_of_others([chosen])
    schedule: dict[str, Any] = {}
    if chosen == "on":
        schedule, others = {"on": "start"}, others | _NOT_OF_START
    errors: list[FieldError] = []
    for spec in job_fields.schedule_specs(control):
        name = spec.name.rpartition("/")[2]
        if name in others:
            continue
        value, error = read(spec, values)
        errors += error
        if not isinstance(value, Unset):
            schedule[name] = value
        elif name == chosen:
            # Its YAML has the name of it, to be filled in.
            schedule[name] = "" if spec.kind is Kind.STRING else None
            errors.append(FieldError(spec.name, "missing", _MISSING[name]))
    return schedule, errors


#: Fields that the form does not show of a schedule that fires on start.
_NOT_OF_START = {"start_at", "end_at"}

_MISSING = {
    "cron": "Give a cron expression, such as 30 2 * * 1-5.",
    "interval_seconds": "Give a number, such as 15 min.",
    "every": "Give a number of days, weeks, months or years, such as 2 weeks.",
    "at": "Give a day and a time.",
}


def at_controls(errors: Iterable[FieldError]) -> list[FieldError]:
    """Return *errors* of a document; those of its first schedule are where the form has it."""
    return [replace(error, pointer=_LISTED_FIRST.sub(FIRST, error.pointer)) for error in errors]


_LISTED_FIRST = re.compile(rf"^{MORE}/0(?=/|$)")


# ---- more and fewer schedules ----


def added(values: Values, *, zone: str) -> dict[str, str]:
    """Return the form with one schedule more, in the time zone of the first one, else *zone*."""
    control = control_of(count(values))
    if count(values) >= MAX_SCHEDULES:
        return dict(values)
    own_zone = values.get(f"{FIRST}/timezone", "")
    texts = _texts_of({"timezone": own_zone}, control, zone=own_zone or zone)
    first = {FIRST: "cron"} if values.get(FIRST) == MANUAL else {}
    return {**values, **first, **texts, control: "cron"}


def removed(values: Values, index: int) -> dict[str, str]:
    """Return the form without the schedule at *index*; an only one stays."""
    if count(values) == 1:
        return dict(values)
    return compact({name: text for name, text in values.items() if _index_of(name) != index})


def compact(values: Values) -> dict[str, str]:
    """Return the form with its schedules numbered anew, without gaps.

    The numbers are then those in the document, and so in its errors.
    """
    indexes = sorted({index for name in values if (index := _index_of(name)) is not None})
    numbers = {index: number for number, index in enumerate(indexes)}
    return {_renumbered(name, numbers): text for name, text in values.items()}


def _index_of(name: str) -> int | None:
    match = _OF_SCHEDULE.fullmatch(name)
    return None if match is None else int(match[2] or 0)


def _renumbered(name: str, numbers: Mapping[int, int]) -> str:
    match = _OF_SCHEDULE.fullmatch(name)
    if match is None:
        return name
    return f"{match[1]}{control_of(numbers[int(match[2] or 0)])}{match[3]}"
