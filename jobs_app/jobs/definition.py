"""What a person says of a job: its definition, what is wrong with it, and its columns."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from celery import Celery
from sqlalchemy.orm import Session

from jobs_app.core.errors import FieldError, InvalidInput, InvalidSchedule
from jobs_app.core.states import CatchupPolicy, OverlapPolicy
from jobs_app.db.models.jobs import Job, schedule_of
from jobs_app.notifications import channels
from jobs_app.notifications.rules import Rule, rules_as_json, rules_from_json
from jobs_app.runs.retention import Retention
from jobs_app.runs.retry import RetryPolicy
from jobs_app.schedules import validation
from jobs_app.schedules.schedule import Schedule
from jobs_app.secrets import store
from jobs_app.tasks import registry

NAME = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,98}[a-z0-9])?")
TAG = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,48}[a-z0-9])?")
QUEUE = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,98}[A-Za-z0-9])?")
_NAME_RULE = (
    "must be 1 to 100 lower-case letters, digits, '.', '_' or '-', "
    "with a letter or digit at both ends"
)


@dataclass(frozen=True, slots=True)
class Definition:
    """What a person says of a job; the rest of its row is bookkeeping.

    `schedule` is None for a job that is only started by hand. Its `seed` and, for
    an interval, a missing anchor are filled in by `create` and `change`.
    """

    name: str
    task: str
    kwargs: dict[str, Any] = field(default_factory=dict)
    description: str = ""
    tags: tuple[str, ...] = ()
    schedule: Schedule | None = None
    overlap_policy: OverlapPolicy = OverlapPolicy.SKIP
    starting_deadline_seconds: int = 60
    catchup_policy: CatchupPolicy = CatchupPolicy.LAST
    catchup_window_seconds: int = 86_400
    catchup_max_runs: int = 50
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    soft_time_limit_seconds: int | None = None
    time_limit_seconds: int | None = 3600
    kill_grace_seconds: int = 10
    queue: str = "default"
    priority: int = 5
    concurrency_key: str | None = None
    concurrency_limit: int | None = None
    max_runs: int | None = None
    pause_after_failures: int | None = None
    retention: Retention = field(default_factory=Retention)
    notify: tuple[Rule, ...] | None = None


def definition_of(job: Job) -> Definition:
    """Return what a person said of *job*."""
    plain = {
        name: getattr(job, name)
        for name in Definition.__slots__
        if name not in {"schedule", "tags", "retry", "retention", "notify"}
    }
    return Definition(
        **plain,
        tags=tuple(job.tags),
        schedule=schedule_of(job),
        retry=RetryPolicy.from_json(job.retry),
        retention=Retention.from_json(job.retention),
        notify=rules_from_json(job.notify),
    )


def described(definition: Definition) -> dict[str, Any]:
    """Return *definition* as the audit keeps it: no kwargs, they may hold secrets."""
    schedule = definition.schedule
    when = None
    if schedule is not None:
        when = {
            name: value.isoformat() if isinstance(value, datetime) else value
            for name in Schedule.__slots__
            if (value := getattr(schedule, name)) is not None and name != "seed"
        }
    plain = {
        name: getattr(definition, name)
        for name in Definition.__slots__
        if name not in {"kwargs", "schedule", "retry", "retention", "tags", "notify"}
    }
    return plain | {
        "tags": list(definition.tags),
        "schedule": when,
        "notify": rules_as_json(definition.notify),
        "retry": definition.retry.as_json(),
        "retention": definition.retention.as_json(),
    }


def completed(definition: Definition, *, anchor_at: datetime | None, at: datetime) -> Definition:
    """Fill in the seed, and the anchor of an interval: it neither drifts nor restarts on edit.

    A concurrency key without a limit means one run at a time.
    """
    if definition.concurrency_key is not None and definition.concurrency_limit is None:
        definition = replace(definition, concurrency_limit=1)
    schedule = definition.schedule
    if schedule is None:
        return definition
    schedule = replace(schedule, seed=definition.name)
    if schedule.interval_seconds is not None and schedule.anchor_at is None:
        # On the whole second: fires are easier to read.
        schedule = replace(schedule, anchor_at=anchor_at or at.replace(microsecond=0))
    return replace(definition, schedule=schedule)


def check(
    session: Session,
    definition: Definition,
    *,
    app: Celery,
    now: datetime,
    before: Definition | None = None,
) -> None:
    """Raise InvalidInput with everything that is wrong with *definition*."""
    errors = list(_plain_errors(definition))
    if before is None or (before.task, before.kwargs) != (definition.task, definition.kwargs):
        errors += registry.check(app, definition.task, definition.kwargs)
        errors += store.check(session, definition.task, definition.kwargs)
    # A channel that went away meanwhile must not keep a job from being renamed.
    if before is None or before.notify != definition.notify:
        errors += channels.rule_errors(session, definition.notify)
    # A job whose one instant has passed can still be renamed.
    schedule = definition.schedule
    if schedule is not None and not _says_the_same(schedule, before):
        try:
            validation.check(schedule, now=now)
        except InvalidSchedule as error:
            errors += error.under("/schedule").errors
    if errors:
        raise InvalidInput(" ".join(error.detail for error in errors), errors=errors)


def _says_the_same(schedule: Schedule, before: Definition | None) -> bool:
    """Tell whether *schedule* is that of *before*, whatever the names are that seed them."""
    if before is None or before.schedule is None:
        return False
    return replace(schedule, seed="") == replace(before.schedule, seed="")


def _plain_errors(definition: Definition) -> Iterable[FieldError]:
    if not NAME.fullmatch(definition.name):
        shown = definition.name if len(definition.name) <= 60 else definition.name[:60] + "…"
        yield FieldError("/name", "invalid_name", f"The name {shown!r} {_NAME_RULE}.")
    for index, tag in enumerate(definition.tags):
        if not TAG.fullmatch(tag):
            detail = f"The tag {tag[:60]!r} must be lower-case letters, digits, '.', '_' or '-'."
            yield FieldError(f"/tags/{index}", "invalid_tag", detail)
    if not QUEUE.fullmatch(definition.queue):
        detail = f"The queue {definition.queue[:60]!r} must be letters, digits, '.', '_' or '-'."
        yield FieldError("/queue", "invalid_queue", detail)
    yield from concurrency_errors(definition.concurrency_key, definition.concurrency_limit)
    soft, hard = definition.soft_time_limit_seconds, definition.time_limit_seconds
    if soft is not None and hard is not None and soft >= hard:
        detail = f"The soft limit of {soft} s must be below the time limit of {hard} s."
        yield FieldError("/soft_time_limit_seconds", "above_time_limit", detail)


def concurrency_errors(key: str | None, limit: int | None) -> Iterable[FieldError]:
    """Yield what is wrong with a concurrency key and its limit."""
    if key is not None and not QUEUE.fullmatch(key):
        detail = f"The key {key[:60]!r} must be 1 to 100 letters, digits, '.', '_' or '-'."
        yield FieldError("/concurrency_key", "invalid_key", detail)
    if limit is not None and key is None:
        detail = f"A limit of {limit} runs at once needs a concurrency_key that they share."
        yield FieldError("/concurrency_limit", "without_key", detail)


def columns(definition: Definition) -> dict[str, Any]:
    """Return *definition* as the columns of a row."""
    columns = {
        name: getattr(definition, name)
        for name in Definition.__slots__
        if name not in {"schedule", "retry", "retention", "tags", "notify"}
    }
    schedule = definition.schedule or Schedule()
    when = {name: getattr(schedule, name) for name in Schedule.__slots__ if name != "seed"}
    return (
        columns
        | when
        | {
            "tags": list(definition.tags),
            "notify": rules_as_json(definition.notify),
            "retry": definition.retry.as_json(),
            "retention": definition.retention.as_json(),
        }
    )
