"""Jobs as another scheduler describes them, and the jobs of this one that they stand for. Pure.

A draft stands for a job that an earlier import of the same origin made. Rules find it, in this
order. A line of a crontab: the same arguments and schedule, the same command, the same name. An
entry with a name of its own: the same name, then the same arguments and schedule.
"""

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from itertools import chain, repeat
from typing import Any

from jobs_app.jobs.crontab_fields import has_same_fires
from jobs_app.jobs.document import KINDS
from jobs_app.jobs.importers.command_names import is_numbered, unique_name

Json = dict[str, Any]

#: The fields that say when a schedule fires.
KIND_FIELDS = {name for names in KINDS.values() for name in names}


class Refused(Exception):
    """A line or an entry that becomes no job: why not, and what helps."""

    def __init__(self, problem: str, advice: str = "") -> None:
        super().__init__(problem)
        self.problem = problem
        self.advice = advice


@dataclass(frozen=True, slots=True)
class Draft:
    """A job as its source describes it: the fields that the source knows.

    `name` is the one for a new job, if it is free; with `is_named` the source has it, too.
    `described` are the names of all kwargs that the source determines, None for all: those that
    `kwargs` does not have are removed from a present job. `timezone` is None if the source leaves
    it to the importer. `others` are more schedules, with their zones: then the source has all of
    them. `fields` are others that it determines. With `is_paused` a new job waits.
    `is_mailed` says that the source mails the output of its runs.
    """

    name: str
    task: str
    kwargs: Mapping[str, Any]
    schedule: Mapping[str, Any]
    timezone: str | None
    described: Collection[str] | None
    description: str = ""
    fields: Mapping[str, Any] = field(default_factory=dict)
    is_named: bool = False
    is_paused: bool = False
    is_mailed: bool = False
    others: Sequence[Mapping[str, Any]] = ()


@dataclass(frozen=True, slots=True)
class Defaults:
    """The fields of new jobs that no source has, and the zone of schedules without one.

    With `is_typed` the zone was asked for: it replaces that of present jobs, too. So do the
    `overrides`; `tags` are added. With `observes` new jobs only watch; present jobs stay as they
    are, also those that run already. `output_rules`, if there are any, are the rules for
    notifications of a job whose output the source mails.
    """

    origin: str
    timezone: str
    is_typed: bool = False
    overrides: Mapping[str, Any] = field(default_factory=dict)
    tags: Sequence[str] = ()
    observes: bool = False
    output_rules: Sequence[Json] = ()

    def overrides_of(self, draft: Draft) -> Json:
        """Return the fields that the importer was asked for, whatever a job has."""
        rules = {"notify": list(self.output_rules)} if self.output_rules else {}
        return deepcopy(dict(self.overrides) | (rules if draft.is_mailed else {}))


def find_present(drafts: Sequence[Draft], jobs: Sequence[Json]) -> list[Json | None]:
    """Return for each of *drafts* the one of *jobs* that it stands for; None for a new one."""
    matches: list[Json | None] = [None] * len(drafts)
    rest = list(jobs)
    for number in range(max(len(_LINE_RULES), len(_ENTRY_RULES))):
        for index, draft in enumerate(drafts):
            rules = _ENTRY_RULES if draft.is_named else _LINE_RULES
            if matches[index] is None and number < len(rules):
                job = _first(rest, draft, rules[number])
                if job is not None:
                    matches[index] = job
                    rest.remove(job)
    return matches


def same_task(draft: Draft, jobs: Sequence[Json]) -> Json | None:
    """Return one of *jobs* that starts the same task at the same times as *draft*, if any.

    Lines of a crontab, which have no name, are never the same as a job from elsewhere.
    """
    if not draft.is_named:
        return None
    return next((job for job in jobs if _has_times(draft, job)), None)


def _has_times(draft: Draft, job: Json) -> bool:
    """Tell whether one of the schedules of *job* starts the task of *draft* at its times."""
    zone = draft.timezone
    return _has_same_arguments(draft, job) and (
        _has_schedules(draft, _schedules(job))
        if draft.others
        else any(
            _fires_at(draft.schedule, schedule) and zone in (None, schedule.get("timezone"))
            for schedule in _schedules(job)
        )
    )


def _first(
    jobs: Sequence[Json], draft: Draft, is_match: Callable[[Draft, Json], bool]
) -> Json | None:
    return next((job for job in jobs if is_match(draft, job)), None)


def _has_same_arguments(draft: Draft, job: Json) -> bool:
    kwargs = job.get("kwargs") or {}
    names = ("command", "stdin") if draft.described is not None else draft.kwargs.keys() | kwargs
    return job["task"] == draft.task and all(
        draft.kwargs.get(name) == kwargs.get(name) for name in names
    )


def _is_same(draft: Draft, job: Json) -> bool:
    schedules = _schedules(job)
    return _has_same_arguments(draft, job) and _has_schedules(
        draft, schedules if draft.others else schedules[:1]
    )


def _has_schedules(draft: Draft, schedules: Sequence[Json]) -> bool:
    wanted = [draft.schedule, *draft.others]
    return len(wanted) == len(schedules) and all(map(_fires_at, wanted, schedules))


def _fires_at(wanted: Mapping[str, Any], schedule: Json, *, seed: str = "") -> bool:
    # Not by its anchor: a job keeps the one that it got.
    names = wanted.keys() - {"anchor_at"}
    if "cron" in wanted and has_same_fires(wanted, schedule, seed=seed):
        names -= {"cron"}
    return all(schedule.get(name) == wanted[name] for name in names)


def _schedules(job: Json) -> list[Json]:
    """Return the schedules of a job; {} alone for one that has none."""
    return job.get("schedules") or [job.get("schedule") or {}]


def _has_exact_name(draft: Draft, job: Json) -> bool:
    return bool(job["name"] == draft.name)


def _has_name(draft: Draft, job: Json) -> bool:
    return is_numbered(job["name"], draft.name)


def _has_same_name(draft: Draft, job: Json) -> bool:
    return job["task"] == draft.task and _has_name(draft, job)


def _is_same_by_name(draft: Draft, job: Json) -> bool:
    return _has_name(draft, job) and _is_same(draft, job)


def _has_name_behind_prefix(draft: Draft, job: Json) -> bool:
    # An import with another --prefix, or without one, made it.
    pattern = rf"(?:.+[-._])?{re.escape(draft.name)}(?:-[0-9]+)?"
    return job["task"] == draft.task and re.fullmatch(pattern, job["name"]) is not None


_LINE_RULES = (_is_same, _has_same_arguments, _has_same_name)
_ENTRY_RULES = (
    _is_same_by_name,
    _has_exact_name,
    _has_name,
    _is_same,
    _has_name_behind_prefix,
)


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
    }
    schedule = {**draft.schedule, "timezone": draft.timezone or defaults.timezone}
    if draft.others:
        document["schedules"] = [schedule, *map(dict, draft.others)]
    else:
        document["schedule"] = schedule
    if draft.description:
        document["description"] = draft.description
    if defaults.tags:
        document["tags"] = list(defaults.tags)
    if defaults.observes:
        document["observe"] = True
    return document | deepcopy(dict(draft.fields)) | defaults.overrides_of(draft)


def _changed(draft: Draft, job: Json, defaults: Defaults) -> Json:
    """Return *job* with what its source says: everything else stays as people have set it."""
    document, name = deepcopy(job) | {"task": draft.task}, str(job.get("name"))
    before = job.get("kwargs") or {}
    described = before if draft.described is None else draft.described
    kwargs = {name: value for name, value in before.items() if name not in described}
    document["kwargs"] = kwargs | dict(draft.kwargs)
    # The first one is the source's; people have added the others, unless the source has several.
    first, *others = _schedules(job)
    if draft.others:
        others = [
            present if _fires_at(wanted, present, seed=name) else dict(wanted)
            for wanted, present in zip(draft.others, chain(others, repeat({})), strict=False)
        ]
    before = {n: v for n, v in first.items() if v is not None}
    kept = {n: v for n, v in before.items() if n in ("start_at", "end_at", "jitter_seconds")}
    schedule = dict(draft.schedule)
    if "cron" in schedule and has_same_fires(schedule, before, seed=name):
        # A crontab says it in other words, such as @daily and 0 0 * * *.
        del schedule["cron"]
        schedule |= {name: before[name] for name in KIND_FIELDS & before.keys()}
    if before.keys() & schedule.keys() & {"interval_seconds", "every"} and "anchor_at" in before:
        schedule["anchor_at"] = before["anchor_at"]
    timezone = draft.timezone or (
        defaults.timezone if defaults.is_typed else before.get("timezone", defaults.timezone)
    )
    schedule |= {**kept, **schedule, "timezone": timezone}
    if others:
        document.pop("schedule", None)
        document["schedules"] = [schedule, *others]
    else:
        document["schedule"] = schedule
    tags = job.get("tags") or []
    document["tags"] = [*tags, *(tag for tag in defaults.tags if tag not in tags)]
    return document | deepcopy(dict(draft.fields)) | defaults.overrides_of(draft)


#: The fields of a job that hold its schedules: one of them is there.
_SCHEDULES = ("schedule", "schedules")


@dataclass(frozen=True, slots=True)
class Import:
    """The job as an earlier import has left it, and the fields that this import has changed."""

    definition: Json
    changed: frozenset[str]


def keep_edits(
    document: Json, draft: Draft, job: Json, imports: Iterable[Import], defaults: Defaults
) -> Json:
    """Return *document*, which changes *job*, without what its source has not changed.

    *imports* are the earlier ones, the newest first. The draft says the same as at the last one
    in each field in which it agrees with that, or with an older one if none has changed the field
    since. Such a field stays as people have set it in *job*.
    """
    kept = dict(document)
    fields: list[tuple[str, ...]] = [(name,) for name in document if name not in _SCHEDULES]
    fields.append(_SCHEDULES)
    undecided = [names for names in fields if not _agree(document, job, names)]
    for earlier in imports if undecided else ():
        again = _changed(draft, earlier.definition, defaults)
        for names in list(undecided):
            is_same = _agree(again, earlier.definition, names)
            if is_same:
                for name in names:
                    kept.pop(name, None)
                kept |= {name: job[name] for name in names if name in job}
            if is_same or not earlier.changed.isdisjoint(names):
                undecided.remove(names)
        if not undecided:
            break
    return kept


def _agree(one: Json, other: Json, names: Sequence[str]) -> bool:
    """Tell whether two documents have the same in the fields *names*, apart from nulls."""

    def copy(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {name: copy(one) for name, one in value.items() if one is not None}
        return [copy(one) for one in value] if isinstance(value, list) else value

    return bool(
        copy({name: one.get(name) for name in names})
        == copy({name: other.get(name) for name in names})
    )
