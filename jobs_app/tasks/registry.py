"""The tasks that a job may name: their arguments, and the faults of those that a job gives."""

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from celery import Celery

from jobs_app.core.errors import FieldError
from jobs_app.core.settings import Settings
from jobs_app.core.text import did_you_mean
from jobs_app.tasks.arguments import AnyTask, arguments_of

#: Celery's own internal tasks and ours are not for people to run.
HIDDEN_PREFIXES = ("celery.", "jobs_app.")


@dataclass(frozen=True, slots=True)
class TaskInfo:
    """A task that a job may name.

    `schema` is a JSON Schema of its keyword arguments, as far as its signature has them.
    """

    name: str
    description: str
    schema: dict[str, Any]


def names(app: Celery) -> list[str]:
    """Return the names of the tasks that a job may name, sorted."""
    return sorted(name for name in app.tasks if not name.startswith(HIDDEN_PREFIXES))


def tasks(app: Celery) -> list[TaskInfo]:
    """Return the tasks that a job may name, sorted by name."""
    return [_describe(app.tasks[name]) for name in names(app)]


def check(app: Celery, task: str, kwargs: Mapping[str, Any]) -> list[FieldError]:
    """Return the faults of a run of *task* with *kwargs*."""
    known = names(app)
    if task not in known:
        hint = did_you_mean(task, known) or f" There are: {', '.join(known)}."
        return [FieldError("/task", "unknown_task", f"There is no task {task!r}.{hint}")]
    arguments = arguments_of(app.tasks[task])
    if arguments is None:
        return []
    errors = list(arguments.faults(kwargs))
    own_check = getattr(app.tasks[task], "faults_of", None)
    if errors or own_check is None:
        # A task compares its arguments only if each of them is valid by itself.
        return errors
    return list(own_check(kwargs, _settings_of(app)))


def warnings(app: Celery, task: str, kwargs: Mapping[str, Any]) -> list[str]:
    """Return warnings about a run of *task* with *kwargs*; none if it has faults."""
    known = app.tasks.get(task)
    own_check = None if known is None else getattr(known, "warnings_of", None)
    if own_check is None or check(app, task, kwargs):
        return []
    return list(own_check(kwargs, _settings_of(app)))


def _settings_of(app: Celery) -> Settings:
    # Only our own application has settings; a user's or a test's has none.
    settings = getattr(app, "settings", None)
    return settings if isinstance(settings, Settings) else Settings()


def _describe(task: AnyTask) -> TaskInfo:
    arguments = arguments_of(task)
    schema = {"type": "object"} if arguments is None else arguments.schema()
    first_line = (inspect.getdoc(task.run) or "").partition("\n")[0]
    return TaskInfo(task.name, first_line, schema)
