"""Which tasks there are, which keyword arguments each takes, and what is wrong with those given."""

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from celery import Celery

from jobs_app.core.errors import FieldError
from jobs_app.core.settings import Settings
from jobs_app.core.text import did_you_mean
from jobs_app.tasks.arguments import AnyTask, signature_of

#: Celery's own housekeeping tasks and ours are not for people to run.
HIDDEN_PREFIXES = ("celery.", "jobs_app.")


@dataclass(frozen=True, slots=True)
class TaskInfo:
    """A task that a job may name.

    `schema` is a JSON Schema of its keyword arguments, as far as the signature
    tells them.
    """

    name: str
    description: str
    schema: dict[str, Any]


def names(app: Celery) -> list[str]:
    """Return the names of the tasks that a job may name, sorted."""
    return sorted(name for name in app.tasks if not name.startswith(HIDDEN_PREFIXES))


def tasks(app: Celery) -> list[TaskInfo]:
    """Describe the tasks that a job may name, by name."""
    return [_describe(app.tasks[name]) for name in names(app)]


def check(app: Celery, task: str, kwargs: Mapping[str, Any]) -> list[FieldError]:
    """Return what is wrong with running *task* with *kwargs*; [] if nothing is."""
    known = names(app)
    if task not in known:
        hint = did_you_mean(task, known) or f" There are: {', '.join(known)}."
        return [FieldError("/task", "unknown_task", f"There is no task {task!r}.{hint}")]
    signature = signature_of(app.tasks[task])
    if signature is None:
        return []
    found = list(signature.faults(kwargs))
    own_check = getattr(app.tasks[task], "faults_of", None)
    if found or own_check is None:
        # What is wrong between arguments is looked for only where each of them is right.
        return found
    return list(own_check(kwargs, _settings_of(app)))


def warnings(app: Celery, task: str, kwargs: Mapping[str, Any]) -> list[str]:
    """Return what is odd, though not wrong, about running *task* with *kwargs*."""
    known = app.tasks.get(task)
    own_check = None if known is None else getattr(known, "warnings_of", None)
    if own_check is None or check(app, task, kwargs):
        return []
    return list(own_check(kwargs, _settings_of(app)))


def _settings_of(app: Celery) -> Settings:
    # Only the application of an installation has some; a test's or a user's own has none.
    settings = getattr(app, "settings", None)
    return settings if isinstance(settings, Settings) else Settings()


def _describe(task: AnyTask) -> TaskInfo:
    signature = signature_of(task)
    schema = {"type": "object"} if signature is None else signature.schema()
    first_line = (inspect.getdoc(task.run) or "").partition("\n")[0]
    return TaskInfo(task.name, first_line, schema)
