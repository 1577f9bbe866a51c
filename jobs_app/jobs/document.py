"""The one description of a job: its fields with their bounds, defaults, options and help.

The request bodies, the patch, the response, the options of the CLI and the row are made
from it. It imports little, because the CLI reads it at every start.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar

from jobs_app.core.field_spec import INT32, FieldSpec, flat
from jobs_app.core.policies import MAX_SLOTS, FirePolicy, RunLimits
from jobs_app.notifications.rules import Rule, rules_as_json
from jobs_app.runs.retention import Retention
from jobs_app.runs.retry import RetryPolicy
from jobs_app.schedules.schedule import Schedule
from jobs_app.schedules.union import AnySchedule, parts_of

NAME = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,98}[a-z0-9])?")
TAG = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,48}[a-z0-9])?")
QUEUE = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,98}[A-Za-z0-9])?")

#: A schedule is of exactly one kind; each kind has fields that only it has.
KINDS: dict[str, tuple[str, ...]] = {
    "cron": ("cron",),
    "interval_seconds": ("interval_seconds", "anchor_at"),
    "every": ("every", "anchor_at"),
    "at": ("at",),
    "on": ("on",),
}


def fields_of_others(kinds: Iterable[str]) -> set[str]:
    """Return the fields that only schedules of other kinds than *kinds* have."""
    own = {name for kind in kinds for name in KINDS.get(kind, ())}
    return {name for names in KINDS.values() for name in names} - own


Name = Annotated[str, FieldSpec(most=100, pattern=NAME, example="nightly-report")]
Tag = Annotated[str, FieldSpec(most=50, pattern=TAG)]
Kwargs = Annotated[dict[str, Any], FieldSpec(example={"command": "python report.py"})]
TaskName = Annotated[
    str,
    FieldSpec("--task", "Task to run: see `jobs-app task list`.", 1, 255, example="shell"),
]
QueueName = Annotated[
    str, FieldSpec("--queue", "Queue that its runs go to.", most=100, pattern=QUEUE)
]
Priority = Annotated[int, FieldSpec("--priority", "In its queue: 0 is served first, 9 last.", 0, 9)]
ConcurrencyKey = Annotated[
    str,
    FieldSpec(
        "--concurrency-key",
        "Share a limit with all jobs that name the same key, as db-main.",
        most=100,
        pattern=QUEUE,
        example="db-main",
    ),
]
ConcurrencyLimit = Annotated[
    int,
    FieldSpec(
        "--concurrency-limit", "Most runs with the key at once; 1 unless given.", 1, MAX_SLOTS
    ),
]
ArgumentName = Annotated[str, FieldSpec(least=1, most=255, example="day")]
Note = Annotated[str, FieldSpec(most=2000)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Definition:
    """Everything that a person sets on a job; the rest of its row is bookkeeping.

    `schedule` is None for a job that is only started by hand; it may be several as one.
    `create` and `change` fill in `seed` and, for intervals, a missing anchor. The fields of
    the groups stand
    beside the others in JSON, in YAML and in the row.

    With `observe` the job only watches: its fires are recorded as `observed`, and nothing runs.
    It is a field and no third state beside `active` and `paused`, for it is a part of what the
    job is: a file says it, a revision restores it, and a job that watches can be paused.
    """

    GROUPS: ClassVar[Mapping[str, type]] = {"fire_policy": FirePolicy, "limits": RunLimits}

    name: Name
    description: Annotated[
        str, FieldSpec("--description", "What it is for, Markdown.", most=20_000)
    ] = ""
    tags: Annotated[tuple[Tag, ...], FieldSpec(most=50)] = ()
    origin: Annotated[str, FieldSpec(most=200, example="crontab web1:/etc/cron.d/php")] | None = (
        None
    )
    task: TaskName
    kwargs: Kwargs = field(default_factory=dict)
    run_arguments: Annotated[tuple[ArgumentName, ...], FieldSpec(most=50)] = ()
    confirm: Annotated[
        bool, FieldSpec("--confirm", "Pages ask for its name before a start by hand: true, false.")
    ] = False
    schedule: AnySchedule | None = None
    observe: bool = False
    fire_policy: FirePolicy = field(default_factory=FirePolicy)
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    limits: RunLimits = field(default_factory=RunLimits)
    queue: QueueName = "default"
    priority: Priority = 5
    concurrency_key: ConcurrencyKey | None = None
    concurrency_limit: ConcurrencyLimit | None = None
    max_runs: (
        Annotated[int, FieldSpec("--max-runs", "End the schedule after this many runs.", 1, INT32)]
        | None
    ) = None
    pause_after_failures: (
        Annotated[
            int,
            FieldSpec(
                "--pause-after-failures",
                "Pause the job after so many failures in a row.",
                1,
                INT32,
            ),
        ]
        | None
    ) = None
    retention: Retention = field(default_factory=Retention)
    notify: Annotated[tuple[Rule, ...], FieldSpec(most=20)] | None = None


def as_json(definition: Definition) -> dict[str, Any]:
    """Return *definition* as JSON holds it, but for its schedule, which is left as it is."""
    return flat(definition) | {
        "tags": list(definition.tags),
        "run_arguments": list(definition.run_arguments),
        "retry": definition.retry.as_json(),
        "retention": definition.retention.as_json(),
        "notify": rules_as_json(definition.notify),
    }


def schedule_as_json(schedule: Schedule) -> dict[str, Any]:
    """Return *schedule* as it is sent: the fields of its kind, and those of every kind."""
    kind = next(kind for kind in KINDS if getattr(schedule, kind) is not None)
    names = (*KINDS[kind], "timezone", "start_at", "end_at", "jitter_seconds")
    return {name: getattr(schedule, name) for name in names}


def schedules_as_json(schedule: AnySchedule | None) -> dict[str, Any]:
    """Return the fields `schedule`, the first one or None, and `schedules`, all of them."""
    parts = [schedule_as_json(part) for part in parts_of(schedule)]
    return {"schedule": parts[0] if parts else None, "schedules": parts}


def in_one_field(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return *document* with `schedule` for one schedule or none, or else with `schedules`.

    Documents whose fields disagree stay as they are, to be refused.
    """
    schedule, schedules = document.get("schedule"), document.get("schedules")
    if "schedule" not in document or not isinstance(schedules, list):
        return dict(document)
    if (schedules[0] if schedules else None) != schedule:
        return dict(document)
    # In the place of `schedule`, which is a better one for people.
    kept = {"schedules": schedules} if len(schedules) > 1 else {"schedule": schedule}
    return {
        field: value
        for name, own in document.items()
        for field, value in (kept if name == "schedule" else {name: own}).items()
        if name != "schedules"
    }


def in_same_field(*documents: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return *documents*, all with `schedules` if one of them has several, to be compared."""
    short = [in_one_field(document) for document in documents]
    if not any("schedules" in document for document in short):
        return short
    return [_with_list(document) for document in short]


def _with_list(document: dict[str, Any]) -> dict[str, Any]:
    if "schedules" in document or "schedule" not in document:
        return document
    schedule = document["schedule"]
    rest = {name: value for name, value in document.items() if name != "schedule"}
    return {**rest, "schedules": [] if schedule is None else [schedule]}
