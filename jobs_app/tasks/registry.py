"""The tasks that a job may name: their arguments, and the faults of those that a job gives."""

import inspect
from collections.abc import Mapping
from typing import Any
from weakref import WeakKeyDictionary

from celery import Celery, Task

from jobs_app.core.errors import FieldError
from jobs_app.core.json_storage import as_json
from jobs_app.core.settings import Settings
from jobs_app.core.text import did_you_mean, plain
from jobs_app.tasks import user_apps
from jobs_app.tasks.any_task import AnyTask
from jobs_app.tasks.argument_types import USER_ERRORS
from jobs_app.tasks.arguments import TaskArguments, arguments_of
from jobs_app.tasks.declarations import Declaration, declaration_of
from jobs_app.tasks.reported import ReportedTask
from jobs_app.tasks.task_info import TaskInfo
from jobs_app.tasks.user_apps import BrokenTask, why_unknown

#: Celery's own internal tasks and ours are not for people to run.
HIDDEN_PREFIXES = ("celery.", "jobs_app.")

#: The built-in task that runs commands.
SHELL = "shell"

#: A JSON Schema of more values is not shown.
MOST_SCHEMA_PARTS = 100_000


def names(app: Celery) -> list[str]:
    """Return the names of the tasks that a job may name, sorted."""
    return [task.name for task in _listed(app)]


def _listed(app: Celery) -> list[AnyTask]:
    """Return the tasks that a job may name, sorted by name.

    Another thread may change those that workers have reported: `sorted` takes a copy first.
    """
    tasks = sorted(app.tasks.items(), key=lambda item: item[0])
    return [task for name, task in tasks if not name.startswith(HIDDEN_PREFIXES)]


def broken_modules(app: Celery) -> list[str]:
    """Return a sentence about each module of JOBS_IMPORTS that cannot be loaded."""
    return list(map(str, user_apps.broken_modules(app).values()))


def tasks(app: Celery) -> list[TaskInfo]:
    """Return the tasks that a job may name, sorted by name."""
    return [_describe(app, task) for task in _listed(app)]


def task_info(app: Celery, name: str) -> TaskInfo | None:
    """Return the task called *name*, None if no job may name it."""
    known = app.tasks.get(name)
    return None if known is None or name.startswith(HIDDEN_PREFIXES) else _describe(app, known)


def own_tasks(app: Celery) -> tuple[TaskInfo, ...]:
    """Return the tasks of user code that this process has itself, sorted by name."""
    return tuple(
        _describe(app, task)
        for task in _listed(app)
        if not _is_built_in(task) and not isinstance(task, BrokenTask | ReportedTask)
    )


def is_built_in(app: Celery, task: str) -> bool:
    """Tell whether each worker has *task*: it is one of ours."""
    known = app.tasks.get(task)
    return known is not None and _is_built_in(known)


def _is_built_in(task: AnyTask) -> bool:
    return task.__module__.startswith("jobs_app.tasks.builtin.")


def check(app: Celery, task: str, kwargs: Mapping[str, Any]) -> list[FieldError]:
    """Return the faults of a run of *task* with *kwargs*."""
    named_task = app.tasks.get(task)
    if named_task is None or task.startswith(HIDDEN_PREFIXES):
        known = names(app)
        hint = did_you_mean(task, known) or f" There are: {', '.join(known)}."
        if why := why_unknown(app, task):
            hint = f"{did_you_mean(task, known)} {why}"
        return [FieldError("/task", "unknown_task", f"There is no task {task!r}.{hint}")]
    if isinstance(named_task, BrokenTask):
        return [FieldError("/task", "broken_task", named_task.why)]
    arguments = _arguments(named_task)
    if arguments is None:
        return []
    errors = list(arguments.faults(kwargs))
    own_check = getattr(named_task, "faults_of", None)
    if errors or own_check is None:
        # A task compares its arguments only if each of them is valid by itself.
        return errors
    return list(own_check(kwargs, _settings_of(app)))


def runs_commands(app: Celery, task: str) -> bool:
    """Tell whether *task* runs any command that its arguments say, by whatever name."""
    named = _command_tasks(app)
    if task == SHELL or task in named:
        return True
    code = _code_of(app, task)
    return code is not None and any(code is _code_of(app, name) for name in (SHELL, *named))


def runs_shell(app: Celery, task: str) -> bool:
    """Tell whether *task* is our `shell`, by whatever name."""
    return task == SHELL or (
        (code := _code_of(app, task)) is not None and code is _code_of(app, SHELL)
    )


def unknown_command_tasks(app: Celery) -> list[str]:
    """Return the names in JOBS_COMMAND_TASKS that no task has: they protect nothing."""
    return sorted(_command_tasks(app) - app.tasks.keys())


def _command_tasks(app: Celery) -> set[str]:
    return {name.strip() for name in _settings_of(app).command_tasks.split(",")} - {""}


def _code_of(app: Celery, name: str) -> object | None:
    """Return the function that the task runs: an application may register it twice."""
    task = app.tasks.get(name)
    if task is None or isinstance(task, BrokenTask):
        return None
    # Celery wraps the function of a task with autoretry_for.
    run = getattr(task, "_orig_run", task.run)
    code = getattr(run, "__func__", run)
    return None if code is Task.run else code


def declaration(app: Celery, task: str) -> Declaration:
    """Return what the code of *task* declares about its jobs; nothing if it is unknown."""
    known = app.tasks.get(task)
    return Declaration() if known is None else _declaration(known)


def task_warnings(app: Celery, task: str) -> list[str]:
    """Return warnings about *task* itself: it is not there, or declares what is not done."""
    known = app.tasks.get(task)
    if known is None:
        why = why_unknown(app, task)
        return [f"There is no task {task!r}, so its runs fail.{f' {why}' if why else ''}"]
    return [known.why] if isinstance(known, BrokenTask) else list(_declaration(known).warnings)


def argument_warnings(app: Celery, task: str, kwargs: Mapping[str, Any]) -> list[str]:
    """Return warnings about *kwargs* of *task*, which may quote them; none if they have faults."""
    known = app.tasks.get(task)
    own_check = getattr(known, "warnings_of", None)
    if own_check is None or check(app, task, kwargs):
        return []
    return list(own_check(kwargs, _settings_of(app)))


def _settings_of(app: Celery) -> Settings:
    # Only our own application has settings; a user's or a test's has none.
    settings = getattr(app, "settings", None)
    return settings if isinstance(settings, Settings) else Settings()


def _arguments(task: AnyTask) -> TaskArguments | None:
    return task.arguments if isinstance(task, ReportedTask) else arguments_of(task)


def _declaration(task: AnyTask) -> Declaration:
    return task.declaration if isinstance(task, ReportedTask) else declaration_of(task)


#: What is known of a task, with the settings of then: to describe one takes milliseconds.
_described: "WeakKeyDictionary[AnyTask, tuple[Settings, TaskInfo]]" = WeakKeyDictionary()


def _describe(app: Celery, task: AnyTask) -> TaskInfo:
    """Return what is known of *task*; nobody may change it."""
    if isinstance(task, ReportedTask):
        return task.info
    settings = _settings_of(app)
    known = _described.get(task)
    if known is None or known[0] is not settings:
        known = _described[task] = settings, _new_info(task, settings)
    return known[1]


def _new_info(task: AnyTask, settings: Settings) -> TaskInfo:
    notes: list[str] = []
    positional: list[str] = []
    description, schema = "", {"type": "object"}
    if isinstance(task, BrokenTask):
        return TaskInfo(task.name, "", schema, [], {}, [task.why])
    try:
        description = plain((inspect.getdoc(task.run) or "").partition("\n")[0])
        arguments = arguments_of(task)
        if arguments is not None:
            notes += arguments.notes()
            positional = arguments.positional()
            schema = arguments.schema()
            if (own_schema := getattr(task, "schema_of", None)) is not None:
                schema = own_schema(schema, settings)
            # A bound or a default inside a model may be NaN, or have thousands of digits.
            schema, changes = as_json(schema, most_parts=MOST_SCHEMA_PARTS)
            notes += [f"In its schema: {change}" for change in changes]
    except USER_ERRORS as error:  # user code: a hint or a docstring
        kind = type(error).__name__
        notes.append(f"Its arguments cannot be described ({kind}): it takes anything.")
        schema = {"type": "object"}
    declared = declaration_of(task)
    fields = dict(declared.fields) | ({"timezone": declared.timezone} if declared.timezone else {})
    notes += declared.warnings
    return TaskInfo(task.name, description, schema, positional, fields, notes)
