"""Definitions of jobs: made from documents and rows, checked, and written on rows."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Self

from celery import Celery
from sqlalchemy.orm import Session

from jobs_app.core.errors import FieldError, refuse
from jobs_app.core.field_spec import described_fields, grouped
from jobs_app.core.settings import Settings
from jobs_app.core.states import JobState
from jobs_app.core.text import counted
from jobs_app.db.models.jobs import Job, schedule_columns, schedule_of
from jobs_app.jobs.document import NAME, QUEUE, TAG, Definition, as_json
from jobs_app.jobs.schedule_input import schedule_errors, schedules_from, with_anchors
from jobs_app.notifications import channels
from jobs_app.notifications.rules import Rule, rules_from_json
from jobs_app.runs.retention import Retention
from jobs_app.runs.retry import RetryPolicy
from jobs_app.schedules import schedule_json
from jobs_app.schedules import union as schedules
from jobs_app.schedules.union import seeded
from jobs_app.secrets import references, store
from jobs_app.tasks import registry
from jobs_app.tasks.declarations import Declaration

#: The arguments of a task that runs commands, and of `shell`, that only their author may set.
_COMMAND = frozenset({"command"})
_OF_SHELL = _COMMAND | {"user", "limits"}

_NAME_RULE = (
    "must be 1 to 100 lower-case letters, digits, '.', '_' or '-', "
    "with a letter or digit at both ends"
)


def from_document(
    document: Mapping[str, Any], settings: Settings, *, name: str, app: Celery | None = None
) -> Definition:
    """Return the definition that *document* describes, called *name*. Raises InvalidInput.

    *document* has the fields of the API's request body, already of the right types. The
    fields that it leaves out are as its task in *app* declares them. Then come the defaults
    of *settings*, then those of Definition.
    """
    declared = Declaration() if app is None else registry.declaration(app, document["task"])
    values = declared.completed(document, settings.job_defaults) | {"name": name}
    schedule = schedules_from(values, settings, seed=name, default_timezone=declared.timezone)
    plain = {field: value for field, value in values.items() if field != "schedules"}
    return Definition(**grouped(Definition, _from_json(plain | {"schedule": schedule})))


def definition_of(job: Job) -> Definition:
    """Return the definition in the row of *job*."""
    values = {field.name: getattr(job, field.name) for field in _PLAIN_FIELDS}
    return Definition(**grouped(Definition, _from_json(values)), schedule=schedule_of(job))


_PLAIN_FIELDS = [field for field in described_fields(Definition) if field.name != "schedule"]


def _from_json(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields in *values* as a Definition has them."""
    convert: dict[str, Callable[[Any], Any]] = {
        "tags": lambda tags: tuple(dict.fromkeys(tags)),
        "run_arguments": lambda names: tuple(dict.fromkeys(names or ())),
        "retry": RetryPolicy.from_json,
        "retention": Retention.from_json,
        "notify": rules_from_json,
    }
    return {
        name: convert[name](value) if name in convert else value for name, value in values.items()
    }


def described(definition: Definition) -> dict[str, Any]:
    """Return *definition* for the audit, without its kwargs: they may hold secrets."""
    document = as_json(definition)
    del document["kwargs"]
    return document | schedule_json.documents(definition.schedule)


def completed(definition: Definition, *, before: Definition | None, at: datetime) -> Definition:
    """Fill in the seed, and the anchor of an interval: it neither drifts nor restarts on edit.

    *before* is the present definition of the job; None for a new one.
    A concurrency key without a limit means one run at a time.
    """
    if definition.concurrency_key is not None and definition.concurrency_limit is None:
        definition = replace(definition, concurrency_limit=1)
    if definition.schedule is None:
        return definition
    schedule = seeded(definition.schedule, definition.name)
    present = None if before is None else before.schedule
    return replace(definition, schedule=with_anchors(schedule, present, at=at))


@dataclass(frozen=True, slots=True)
class NewReferences:
    """What a definition refers to, and the one before it did not."""

    secrets: set[str]
    rules: tuple[Rule, ...]

    @classmethod
    def of(cls, definition: Definition, before: Definition | None = None) -> Self:
        secrets, rules = references.names(definition.task, definition.kwargs), definition.notify
        if before is not None:
            secrets -= references.names(before.task, before.kwargs)
            rules = None if rules == before.notify else rules
        return cls(secrets, rules or ())

    def hold(self, session: Session) -> None:
        """Keep these secrets and channels from being deleted until the commit.

        Raises InvalidInput, and rolls back, if one of them was deleted just now.
        """
        store.hold(session, self.secrets)
        channels.hold(session, self.rules)


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
    errors += _run_argument_errors(definition, app)
    # A channel that went away meanwhile must not keep a job from being renamed.
    if before is None or before.notify != definition.notify:
        errors += channels.rule_errors(session, definition.notify)
    present = None if before is None else before.schedule
    errors += schedule_errors(definition.schedule, present, now=now)
    refuse(errors)


def _plain_errors(definition: Definition) -> Iterable[FieldError]:
    if not NAME.fullmatch(definition.name):
        name = definition.name if len(definition.name) <= 60 else definition.name[:60] + "…"
        yield FieldError("/name", "invalid_name", f"The name {name!r} {_NAME_RULE}.")
    for index, tag in enumerate(definition.tags):
        if not TAG.fullmatch(tag):
            detail = f"The tag {tag[:60]!r} must be lower-case letters, digits, '.', '_' or '-'."
            yield FieldError(f"/tags/{index}", "invalid_tag", detail)
    yield from queue_errors(
        definition.queue, definition.concurrency_key, definition.concurrency_limit
    )
    limits = definition.limits
    soft, hard = limits.soft_time_limit_seconds, limits.time_limit_seconds
    if soft is not None and hard is not None and soft >= hard:
        detail = f"The soft limit of {soft} s must be below the time limit of {hard} s."
        yield FieldError("/soft_time_limit_seconds", "above_time_limit", detail)


def _run_argument_errors(definition: Definition, app: Celery) -> Iterable[FieldError]:
    """Yield an error for each argument that only the author of a command may set."""
    never = never_asked(app, definition.task)
    for index, name in enumerate(definition.run_arguments):
        if name in never:
            what = "run any command" if name in _COMMAND else "say who runs it, and how"
            detail = f"Whoever may start the job could {what}: leave it out."
            yield FieldError(f"/run_arguments/{index}", "command_argument", detail)


def never_asked(app: Celery, task: str) -> frozenset[str]:
    """Return the arguments of *task* that no start of a job may set in place of its author."""
    if registry.runs_shell(app, task):
        return _OF_SHELL
    return _COMMAND if registry.runs_commands(app, task) else frozenset()


def queue_errors(queue: str, key: str | None, limit: int | None) -> Iterable[FieldError]:
    """Yield the faults of a queue, a concurrency key and its limit."""
    if not QUEUE.fullmatch(queue):
        detail = f"The queue {queue[:60]!r} must be letters, digits, '.', '_' or '-'."
        yield FieldError("/queue", "invalid_queue", detail)
    if key is not None and not QUEUE.fullmatch(key):
        detail = f"The key {key[:60]!r} must be 1 to 100 letters, digits, '.', '_' or '-'."
        yield FieldError("/concurrency_key", "invalid_key", detail)
    if limit is not None and key is None:
        detail = (
            f"A limit of {counted(limit, 'run')} at once needs a concurrency_key that they share."
        )
        yield FieldError("/concurrency_limit", "without_key", detail)


def columns(definition: Definition) -> dict[str, Any]:
    """Return *definition* as the columns of a row."""
    columns = as_json(definition)
    del columns["schedule"]
    return columns | schedule_columns(definition.schedule)


def has_other_fires(before: Definition, after: Definition) -> bool:
    """Tell whether a change moves the next fire of a job."""
    return (after.schedule, after.max_runs) != (before.schedule, before.max_runs)


def records_due_fires(before: Definition, after: Definition) -> bool:
    """Tell whether the fires that are due must be on record before a change of a job.

    A change of `observe` applies to the fires after it, which stay as they are.
    """
    return has_other_fires(before, after) or before.observe is not after.observe


def redefine(job: Job, definition: Definition, *, before: Definition, at: datetime) -> None:
    """Write *definition* on *job*, whose due fires are on record if the change moves them."""
    for name, value in columns(definition).items():
        setattr(job, name, value)
    watch(job, before=before.observe, at=at)
    if has_other_fires(before, definition):
        if job.state is JobState.ENDED:
            job.state = JobState.ACTIVE
        follow_schedule(job, at=at)
    job.updated_at = at
    job.version += 1


def watch(job: Job, *, before: bool = False, at: datetime) -> None:
    """Note since when *job* only watches; *before* tells whether it did so already."""
    if job.observe is not before:
        job.observing_since = at if job.observe else None


def follow_schedule(job: Job, *, at: datetime) -> None:
    """Set the next fire of *job*, later than *at*; without one an active job has ended."""
    job.next_fire_at = job.next_due_at = None
    schedule = schedule_of(job)
    if job.state is not JobState.ACTIVE or schedule is None:
        return
    is_used_up = job.max_runs is not None and (job.runs_started or 0) >= job.max_runs
    following = None if is_used_up else schedules.next_fire(schedule, after=at)
    if following is None:
        # The next start of jobs-app is a fire, and nobody knows when it comes.
        if is_used_up or not schedules.fires_on_start(schedule):
            job.state = JobState.ENDED
        return
    job.next_fire_at = following
    job.next_due_at = schedules.due_at(schedule, following)
