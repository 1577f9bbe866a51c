"""Which tasks there are and which keyword arguments each takes, read from their signatures."""

import difflib
import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from celery import Celery, Task

from jobs_app.celery_app import RUN_TASK
from jobs_app.errors import FieldError

#: Celery's own housekeeping tasks and ours are not for people to run.
HIDDEN_PREFIXES = ("celery.", "jobs_app.")

AnyTask = Task[Any, Any]


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
    if task not in known or task == RUN_TASK:
        close = difflib.get_close_matches(task, known, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else f" There are: {', '.join(known)}."
        return [FieldError("/task", "unknown_task", f"There is no task {task!r}.{hint}")]
    return _check_kwargs(app.tasks[task], kwargs)


def _parameters(task: AnyTask) -> list[inspect.Parameter] | None:
    """Return what a task can be given by keyword; None if its signature is not to be had."""
    try:
        signature = inspect.signature(task.run)
    except (TypeError, ValueError):
        return None
    return [p for p in signature.parameters.values() if p.kind is not p.POSITIONAL_ONLY]


def _check_kwargs(task: AnyTask, kwargs: Mapping[str, Any]) -> list[FieldError]:
    parameters = _parameters(task)
    if parameters is None:
        return []
    named = {p.name: p for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
    takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters)
    errors = []
    for name in kwargs:
        if name not in named and not takes_any:
            close = difflib.get_close_matches(name, named, n=1)
            hint = f" Did you mean {close[0]!r}?" if close else ""
            detail = f"The task {task.name!r} takes no argument {name!r}.{hint}"
            errors.append(FieldError(f"/kwargs/{_escape(name)}", "unknown_argument", detail))
    for name, parameter in named.items():
        if parameter.default is parameter.empty and name not in kwargs:
            detail = f"The task {task.name!r} needs the argument {name!r}."
            errors.append(FieldError("/kwargs", "missing_argument", detail))
        elif name in kwargs and not _fits(kwargs[name], parameter.annotation):
            expected = _type_name(parameter.annotation)
            detail = f"The argument {name!r} of {task.name!r} must be {expected}."
            errors.append(FieldError(f"/kwargs/{_escape(name)}", "wrong_type", detail))
    return errors


def _escape(name: str) -> str:
    """Return *name* as a part of a JSON Pointer (RFC 6901)."""
    return name.replace("~", "~0").replace("/", "~1")


_JSON_TYPES: dict[Any, tuple[str, str]] = {
    str: ("string", "a string"),
    int: ("integer", "a whole number"),
    float: ("number", "a number"),
    bool: ("boolean", "true or false"),
    list: ("array", "a list"),
    dict: ("object", "an object"),
}


def _fits(value: Any, annotation: Any) -> bool:
    """Tell whether a JSON value fits a plain annotation; what is not plain fits anything."""
    if annotation not in _JSON_TYPES:
        return True
    if annotation is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if annotation is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, annotation)


def _type_name(annotation: Any) -> str:
    return _JSON_TYPES[annotation][1]


def _describe(task: AnyTask) -> TaskInfo:
    parameters = _parameters(task) or []
    properties: dict[str, Any] = {}
    required = []
    for p in parameters:
        if p.kind not in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY):
            continue
        known = _JSON_TYPES.get(p.annotation)
        properties[p.name] = {"type": known[0]} if known else {}
        if p.default is p.empty:
            required.append(p.name)
        elif p.default is None or isinstance(p.default, str | int | float | bool):
            properties[p.name]["default"] = p.default
    takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters)
    schema = {
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": takes_any,
    }
    first_line = (inspect.getdoc(task.run) or "").partition("\n")[0]
    return TaskInfo(task.name, first_line, schema)
