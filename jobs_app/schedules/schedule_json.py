"""Schedules as JSON: in revisions, in the audit, and in the rows of jobs. Pure, no IO."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import fields
from datetime import datetime
from functools import lru_cache
from typing import Any

from jobs_app.schedules import cron_expression
from jobs_app.schedules.schedule import Schedule, in_utc
from jobs_app.schedules.union import AnySchedule, parts_of, union

#: The fields of a schedule; the seed is the name of its job.
FIELDS = tuple(field.name for field in fields(Schedule) if field.name != "seed")

_INSTANTS = ("anchor_at", "at", "start_at", "end_at")


def as_json(schedule: Schedule) -> dict[str, Any]:
    """Return the fields of *schedule* that are not None; instants are text, in UTC."""
    values = {name: getattr(schedule, name) for name in FIELDS}
    return {
        name: in_utc(value).isoformat() if isinstance(value, datetime) else value
        for name, value in values.items()
        if value is not None
    }


def from_json(values: Mapping[str, Any], *, seed: str) -> Schedule:
    """Return the schedule that `as_json` has written, of the job called *seed*."""
    instants = {
        name: datetime.fromisoformat(values[name]) for name in _INSTANTS if values.get(name)
    }
    return Schedule(**{**values, **instants}, seed=seed)


def documents(schedule: AnySchedule | None) -> dict[str, Any]:
    """Return the part of a definition that says *schedule*: `schedule`, the first one or None.

    `schedules`, all of them, is there if they are several.
    """
    parts = [as_json(part) for part in parts_of(schedule)]
    several = {"schedules": parts} if len(parts) > 1 else {}
    return {"schedule": parts[0] if parts else None, **several}


def from_documents(definition: Mapping[str, Any], *, seed: str) -> AnySchedule | None:
    """Return the schedule of a definition with the fields of `documents`."""
    first = definition.get("schedule")
    parts = definition.get("schedules") or ([] if first is None else [first])
    return union([from_json(part, seed=seed) for part in parts])


#: A text with this has a schedule that fires when jobs-app starts.
ON_START = '"on":"start"'

#: A text with this has a schedule that depends on the name of its job, by H or a jitter.
NAMED = '"is_named":true'


def text_of(schedules: Sequence[Schedule]) -> str | None:
    """Return *schedules* as one text, the same for equal ones; None if there are none."""
    if not schedules:
        return None
    values = [as_json(one) | ({"is_named": True} if _is_named(one) else {}) for one in schedules]
    return json.dumps(values, sort_keys=True, separators=(",", ":"))


def _is_named(schedule: Schedule) -> bool:
    return schedule.jitter_seconds > 0 or cron_expression.uses_hash(schedule.cron or "")


@lru_cache(maxsize=4096)
def schedules_in(text: str, seed: str) -> tuple[Schedule, ...]:
    """Return the schedules that `text_of` has written, of the job called *seed*."""
    return tuple(
        from_json({n: v for n, v in values.items() if n != "is_named"}, seed=seed)
        for values in json.loads(text)
    )
