"""Periodic tasks as other schedulers describe them, in one form for all of them. Pure, no IO."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from jobs_app.core.text import did_you_mean, listed, shortened
from jobs_app.jobs.importers.command_names import name_of_key
from jobs_app.jobs.importers.drafts import Draft, Refused
from jobs_app.tasks.parameters import names_of, positional_parameters

Json = dict[str, Any]

#: The arguments of one task may hold at most so many values.
MOST_VALUES = 10_000
MOST_DESCRIPTION = 20_000

TASK_ADVICE = (
    "Name the module of the task in JOBS_IMPORTS, and restart the server. If the workers of your"
    " own Celery are to run it: --send-to SECRET, which holds the URL of their broker"
    " (docs/beat.md#workers-of-your-own)."
)

#: The task that has workers elsewhere run a task.
CELERY_TASK = "celery"
#: The queue of that task if its arguments name none, as in Celery.
DEFAULT_QUEUE = "celery"

#: Options of a message that a run does not follow, and what helps.
NOT_FOLLOWED = {
    "expires": "a run that waits for a worker longer than that still starts",
    "countdown": "a run starts at once",
    "eta": "a run starts at once",
    "exchange": "a run goes to its queue",
    "routing_key": "a run goes to its queue",
    "link_error": "notifications tell of failures",
    "retry": "every fire is on record before it is sent",
    "retry_policy": "every fire is on record before it is sent",
}
#: Options that start other tasks: without them the entry would do something else.
_CALLBACKS = ("link", "chain", "chord", "group_id")


@dataclass(frozen=True, slots=True)
class Timing:
    """The schedule of an entry as the API takes it, without its zone, and what differs here.

    `timezone` is None if the source has none. `others` are more schedules of the entry, with
    their zones.
    """

    schedule: Json
    timezone: str | None = None
    differences: tuple[str, ...] = ()
    others: tuple[Json, ...] = ()


@dataclass(frozen=True, slots=True)
class Workers:
    """Workers of another Celery: their broker and result backend, as the task `celery` has them."""

    broker: str
    result_backend: str | None = None


@dataclass(slots=True)
class PeriodicEntry:
    """A periodic task of another scheduler. `key` is its name there, `text` its report's line.

    `fields` are other fields of the job, and `differences_here` those of a run that workers of
    jobs-app serve. An entry with a `problem` is refused. One with a
    `left_out` is no job of its owner. With `is_paused` a new job waits. `task_advice` helps if the
    server does not have the task. `queue_there` is the queue of its messages by the
    settings of its application, None if these are not known.
    """

    key: str
    text: str
    task: str = ""
    args: Sequence[Any] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    timing: Timing | None = None
    fields: Json = field(default_factory=dict)
    description: str = ""
    is_paused: bool = False
    differences: list[str] = field(default_factory=list)
    differences_here: list[str] = field(default_factory=list)
    note: str = ""
    problem: str = ""
    advice: str = ""
    left_out: str = ""
    queue_there: str | None = None
    task_advice: str = TASK_ADVICE

    def disable(self) -> None:
        """Note that it is out of use there."""
        self.is_paused = True
        self.note = "it is out of use there, so that the job is created paused"

    def refuse(self, refusal: Refused) -> None:
        """Make it one that becomes no job."""
        self.problem, self.advice = refusal.problem, refusal.advice


def draft_of(
    entry: PeriodicEntry,
    tasks: Mapping[str, Json],
    *,
    prefix: str,
    like_source: Mapping[str, Any],
    workers: Workers | None = None,
) -> Draft:
    """Return the job of *entry*; *tasks* are those of the server, by name. Raises Refused.

    *like_source* are fields that follow the source, unless the code of the task declares them.
    With *workers* the job sends the task to them, and the server need not have it.
    """
    if workers is not None:
        kwargs, left = _sent_to(workers, entry)
        return _draft(entry, CELERY_TASK, kwargs, dict(like_source) | left, prefix)
    task = tasks.get(entry.task)
    if task is None:
        raise Refused(
            f"The server has no task {shortened(entry.task, 200)!r}."
            f"{did_you_mean(entry.task, tasks)}",
            entry.task_advice,
        )
    kwargs = _named(entry, task.get("positional") or ())
    declared = task.get("declared") or {}
    undeclared = {name: value for name, value in like_source.items() if name not in declared}
    return _draft(entry, entry.task, kwargs, undeclared | entry.fields, prefix)


def _draft(entry: PeriodicEntry, task: str, kwargs: Json, fields: Json, prefix: str) -> Draft:
    if entry.timing is None:
        raise Refused("It has no schedule.")
    return Draft(
        name=name_of_key(entry.key, prefix=prefix),
        task=task,
        kwargs=kwargs,
        schedule=entry.timing.schedule,
        timezone=entry.timing.timezone,
        others=entry.timing.others,
        described=None,
        description=entry.description[:MOST_DESCRIPTION],
        fields=fields,
        is_named=True,
        is_paused=entry.is_paused,
    )


def _sent_to(workers: Workers, entry: PeriodicEntry) -> tuple[Json, Json]:
    """Return the arguments of the task `celery` for *entry*, and the other fields of its job.

    Queue and priority are those of the message there, and not of the run. Raises Refused.
    """
    args, kwargs = _plain_arguments(entry)
    left = {n: value for n, value in entry.fields.items() if n not in ("queue", "priority")}
    named: Json = {
        "broker": workers.broker,
        "task": entry.task,
        "args": args or None,
        "kwargs": kwargs or None,
        "queue": entry.fields.get("queue") or _other_queue(entry),
        "result_backend": workers.result_backend,
        "priority": entry.fields.get("priority"),
    }
    return {name: value for name, value in named.items() if value is not None}, left


def _other_queue(entry: PeriodicEntry) -> str | None:
    """Return the queue of its application for *entry*, None if that is the default one."""
    return entry.queue_there if entry.queue_there != DEFAULT_QUEUE else None


def _plain_arguments(entry: PeriodicEntry) -> tuple[list[Any], Json]:
    """Return the positional and the named arguments of the call as JSON. Raises Refused."""
    args, kwargs = plain_values(entry.args, "args"), plain_values(entry.kwargs, "kwargs")
    if not isinstance(args, list) or not isinstance(kwargs, dict):
        raise Refused("Its args are no list, or its kwargs have no names.")
    return args, kwargs


def _named(entry: PeriodicEntry, names: Sequence[str]) -> Json:
    """Return the arguments of the call by name. Raises Refused."""
    args, kwargs = _plain_arguments(entry)
    try:
        return names_of(positional_parameters(names), args, kwargs)
    except ValueError as error:
        raise Refused(str(error)) from error


def plain_values(value: Any, place: str) -> Any:
    """Return *value* as JSON reads it back: tuples as lists, names as text. Raises Refused."""
    left = [MOST_VALUES]

    def copy(value: Any, place: str, depth: int) -> Any:
        left[0] -= 1
        if left[0] < 0 or depth > 32:
            raise Refused("Its arguments hold more than a job takes.")
        if isinstance(value, float) and not math.isfinite(value):
            raise Refused(f"{place} is {value}, which JSON does not have.")
        if value is None or isinstance(value, bool | int | float | str):
            return value
        if isinstance(value, list | tuple):
            return [copy(one, f"{place}[{n}]", depth + 1) for n, one in enumerate(value)]
        if isinstance(value, Mapping) and all(isinstance(key, str | int) for key in value):
            return {str(k): copy(v, f"{place}.{k}", depth + 1) for k, v in value.items()}
        kind = type(value).__name__
        if kind == "BeatLazyFunc":
            raise Refused(
                f"{place} is a {kind}: beat computes it at each start.",
                "Let the task compute it.",
            )
        raise Refused(
            f"{place} is a {kind}, and the arguments of a job are JSON.",
            "Let the task make it from a text or a number.",
        )

    return copy(value, place, 0)


def follow_options(entry: PeriodicEntry, options: Mapping[str, Any]) -> None:
    """Note in *entry* what its job follows of the *options* of Celery's messages. Raises Refused.

    The other options become differences.
    """
    left = {name: value for name, value in options.items() if value not in (None, {}, [], "")}
    if callbacks := [name for name in _CALLBACKS if left.pop(name, None)]:
        raise Refused(
            f"Its option {callbacks[0]} starts other tasks with it.",
            "Write a task that does the same, or let one task send the next.",
        )
    _follow_queue(entry, left.pop("queue", None))
    _follow_priority(entry, left.pop("priority", None))
    for name in ("time_limit", "soft_time_limit"):
        seconds = left.pop(name, None)
        if isinstance(seconds, int | float) and seconds >= 1:
            entry.fields[f"{name}_seconds"] = math.ceil(seconds)
    entry.differences += _not_followed(left)


def _follow_queue(entry: PeriodicEntry, queue: Any) -> None:
    # A queue may be an object of kombu.
    name = getattr(queue, "name", queue)
    if isinstance(name, str):
        entry.fields["queue"] = name


def _follow_priority(entry: PeriodicEntry, priority: Any) -> None:
    if priority is None:
        return
    if not isinstance(priority, int) or not 0 <= priority <= 9:
        entry.differences.append(f"Its priority {priority!r} is left out: here 0 to 9 are used.")
        return
    entry.fields["priority"] = priority
    entry.differences_here.append(
        f"Its priority is {priority}: 0 is served first here, as with Redis; RabbitMQ serves"
        " high numbers first."
    )


def _not_followed(options: Mapping[str, Any]) -> Iterator[str]:
    for name in [name for name in NOT_FOLLOWED if name in options]:
        value = shortened(str(options[name]), 60)
        yield f"Its option {name} ({value}) is not followed: {NOT_FOLLOWED[name]}."
    if others := sorted(str(name) for name in options if name not in NOT_FOLLOWED):
        yield f"Its options {listed(others)} are of the message, and are not followed."
