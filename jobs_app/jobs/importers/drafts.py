"""Jobs as another scheduler describes them, and the jobs of this one that they stand for. Pure.

A draft stands for a job that an earlier import of the same origin made. Three rules find it, in
this order: the same arguments and schedule, the same command, and the same name.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

from jobs_app.jobs.importers.command_names import is_numbered, unique_name

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Draft:
    """A job as its source describes it: the fields that the source knows.

    `name` is the one for a new job, if it is free. `described` are the names of all kwargs that
    the source determines: those that `kwargs` does not have are removed from a present job.
    `timezone` is None if the source leaves it to the importer.
    """

    name: str
    task: str
    kwargs: Mapping[str, Any]
    schedule: Mapping[str, Any]
    timezone: str | None
    described: Collection[str]
    description: str = ""


@dataclass(frozen=True, slots=True)
class Defaults:
    """The fields of new jobs that no source has, and the zone of schedules without one.

    With `is_typed` the zone was asked for: it replaces that of present jobs, too. So do the
    `overrides`; `tags` are added.
    """

    origin: str
    timezone: str
    is_typed: bool = False
    overrides: Mapping[str, Any] = field(default_factory=dict)
    tags: Sequence[str] = ()


def find_present(drafts: Sequence[Draft], jobs: Sequence[Json]) -> list[Json | None]:
    """Return for each of *drafts* the one of *jobs* that it stands for; None for a new one."""
    matches: list[Json | None] = [None] * len(drafts)
    rest = list(jobs)
    for is_match in (_is_same, _has_same_command, _has_same_name):
        for index, draft in enumerate(drafts):
            if matches[index] is None:
                job = _first(rest, draft, is_match)
                if job is not None:
                    matches[index] = job
                    rest.remove(job)
    return matches


def _first(
    jobs: Sequence[Json], draft: Draft, is_match: Callable[[Draft, Json], bool]
) -> Json | None:
    return next((job for job in jobs if is_match(draft, job)), None)


def _has_same_command(draft: Draft, job: Json) -> bool:
    names = ("command", "stdin")
    kwargs = job.get("kwargs") or {}
    return job["task"] == draft.task and all(
        draft.kwargs.get(name) == kwargs.get(name) for name in names
    )


def _is_same(draft: Draft, job: Json) -> bool:
    schedule = job.get("schedule") or {}
    return _has_same_command(draft, job) and all(
        schedule.get(name) == value for name, value in draft.schedule.items()
    )


def _has_same_name(draft: Draft, job: Json) -> bool:
    return job["task"] == draft.task and is_numbered(job["name"], draft.name)


def documents(
    drafts: Sequence[Draft],
    present: Sequence[Json | None],
    *,
    taken: Collection[str],
    defaults: Defaults,
) -> list[Json]:
    """Return the document of each draft: a new job, or the present one with what changed.

    A new job gets a name that is neither in *taken* nor another one's.
    """
    names = set(taken)
    made = []
    for draft, job in zip(drafts, present, strict=True):
        document = _new(draft, names, defaults) if job is None else _changed(draft, job, defaults)
        names.add(document["name"])
        made.append(document)
    return made


def _new(draft: Draft, taken: Collection[str], defaults: Defaults) -> Json:
    document: Json = {
        "name": unique_name(draft.name, taken),
        "origin": defaults.origin,
        "task": draft.task,
        "kwargs": dict(draft.kwargs),
        "schedule": {**draft.schedule, "timezone": draft.timezone or defaults.timezone},
    }
    if draft.description:
        document["description"] = draft.description
    if defaults.tags:
        document["tags"] = list(defaults.tags)
    return document | deepcopy(dict(defaults.overrides))


def _changed(draft: Draft, job: Json, defaults: Defaults) -> Json:
    """Return *job* with what its source says: everything else stays as people have set it."""
    document = deepcopy(job)
    kwargs = {n: v for n, v in (job.get("kwargs") or {}).items() if n not in draft.described}
    document["kwargs"] = kwargs | dict(draft.kwargs)
    before = {n: v for n, v in (job.get("schedule") or {}).items() if v is not None}
    kept = {n: v for n, v in before.items() if n in ("start_at", "end_at", "jitter_seconds")}
    if "interval_seconds" in draft.schedule and "anchor_at" in before:
        kept["anchor_at"] = before["anchor_at"]
    timezone = draft.timezone or (
        defaults.timezone if defaults.is_typed else before.get("timezone", defaults.timezone)
    )
    document["schedule"] = {**kept, **draft.schedule, "timezone": timezone}
    tags = job.get("tags") or []
    document["tags"] = [*tags, *(tag for tag in defaults.tags if tag not in tags)]
    return document | deepcopy(dict(defaults.overrides))
