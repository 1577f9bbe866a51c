"""The description of a task that a job may name, and the JSON in which a worker reports it."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

#: A schema with more characters as JSON is not reported.
MOST_SCHEMA_CHARACTERS = 100_000


@dataclass(frozen=True, slots=True)
class TaskInfo:
    """A task that a job may name.

    `schema` is a JSON Schema of its arguments, as far as its signature has them. `positional`
    are the names of those that a call may give by position, in order; `*NAME` takes all others.
    `declared` are the fields of a job that its code declares. `notes` say what of it is not
    followed. `has_worker` is False for a reported task that no living worker has.
    """

    name: str
    description: str
    schema: dict[str, Any]
    positional: list[str]
    declared: dict[str, Any]
    notes: list[str]
    has_worker: bool = True


def report_of(info: TaskInfo) -> dict[str, Any]:
    """Return *info* as the JSON that a worker reports, without its name."""
    if len(json.dumps(info.schema)) > MOST_SCHEMA_CHARACTERS:
        note = "Its arguments are too long a description to be reported: it takes anything."
        info = replace(info, schema={"type": "object"}, notes=[*info.notes, note])
    report = asdict(info)
    del report["name"], report["has_worker"]
    return report


def info_of(name: str, report: Mapping[str, Any], *, has_worker: bool) -> TaskInfo:
    """Return the task that was reported as *report*, perhaps by another version."""
    kinds = {"schema": dict, "positional": list, "declared": dict, "notes": list}
    values = {
        field: report[field] if isinstance(report.get(field), kind) else kind()
        for field, kind in kinds.items()
    }
    description = str(report.get("description") or "")
    return TaskInfo(name, description, **values, has_worker=has_worker)
