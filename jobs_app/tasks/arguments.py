"""The keyword arguments that a task's signature takes: checked, converted, as JSON Schema.

A hint that cannot be resolved, or that pydantic does not know, takes any value.
"""

import inspect
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from typing import Any
from weakref import WeakKeyDictionary

from celery import Task
from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError, to_json, to_jsonable_python

from jobs_app.core.errors import FieldError
from jobs_app.core.text import did_you_mean
from jobs_app.core.validation_messages import Place, faults, json_pointer
from jobs_app.secrets import references
from jobs_app.tasks.argument_docs import descriptions_of
from jobs_app.tasks.argument_types import adapter_of, is_converted, resolved_hint

AnyTask = Task[Any, Any]

#: Most faults of one argument that are reported: a list may hold thousands of wrong entries.
MOST_FAULTS = 20


@dataclass(frozen=True, slots=True)
class Argument:
    """A keyword argument of a task; `default` is `inspect.Parameter.empty` if it is required."""

    name: str
    default: Any
    adapter: TypeAdapter[Any]
    is_converted: bool

    @property
    def is_required(self) -> bool:
        """Whether a job must give this argument."""
        return self.default is inspect.Parameter.empty


@dataclass(frozen=True, slots=True)
class TaskArguments:
    """The keyword arguments that a task takes.

    `others` is its `**kwargs`, None if it has none. `by_position` are required arguments
    that are positional only: no job can give them. `context` is pydantic's validation context.
    """

    task: str
    arguments: dict[str, Argument]
    others: Argument | None
    by_position: tuple[str, ...]
    descriptions: dict[str, str]
    context: dict[str, Any] | None

    def faults(self, kwargs: Mapping[str, Any]) -> Iterator[FieldError]:
        """Yield the faults of a call of the task with *kwargs*, which are JSON values."""
        for name in self.by_position:
            detail = f"The task {self.task!r} takes {name!r} by position only: no job can give it."
            yield FieldError("/kwargs", "positional_only", detail)
        for name, argument in self.arguments.items():
            if argument.is_required and name not in kwargs:
                detail = f"The task {self.task!r} needs the argument {name!r}."
                yield FieldError("/kwargs", "missing_argument", detail)
        for name, value in kwargs.items():
            known = self.arguments.get(name, self.others)
            if known is None:
                yield self._unknown(name)
            else:
                yield from self._checked(known, name, value)[1]

    def converted(self, kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """Return *kwargs* in the types of the hints: a `datetime` for the text of one.

        A value whose hint is a JSON type stays as it is, even if it does not fit: Python
        refuses it with its own error. Raises ValueError, which echoes no value.
        """
        converted = dict(kwargs)
        for name, value in kwargs.items():
            argument = self.arguments.get(name, self.others)
            if argument is not None and argument.is_converted:
                converted[name], errors = self._checked(argument, name, value)
                if errors:
                    raise ValueError(" ".join(error.detail for error in errors))
        return converted

    def as_json(
        self, kwargs: Mapping[str, Any], *, given: Mapping[str, Any], stored: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Return *kwargs*, with which a task asks to be called again, as JSON values.

        A value that is the same object as in *given* is returned as it was *stored*.
        """
        return {
            name: stored[name]
            if name in stored and name in given and value is given[name]
            else self._plain(name, value)
            for name, value in kwargs.items()
        }

    def _plain(self, name: str, value: Any) -> Any:
        argument = self.arguments.get(name, self.others)
        if argument is None or not argument.is_converted:
            return value
        return to_jsonable_python(value)

    def schema(self) -> dict[str, Any]:
        """Return a JSON Schema of the keyword arguments, as an object."""
        listed = list(self.arguments.values()) + ([self.others] if self.others else [])
        by_name, shared = TypeAdapter.json_schemas(
            [(argument.name, "validation", argument.adapter) for argument in listed]
        )
        properties = {}
        for name, argument in self.arguments.items():
            described = {"description": text} if (text := self.descriptions.get(name)) else {}
            property_ = described | by_name[name, "validation"]
            if not argument.is_required and "default" not in property_:
                with suppress(PydanticSerializationError, ValueError):
                    property_["default"] = to_jsonable_python(argument.default)
            properties[name] = property_
        required = [name for name, argument in self.arguments.items() if argument.is_required]
        others = by_name[self.others.name, "validation"] if self.others else False
        schema: dict[str, Any] = {
            "type": "object",
            "properties": properties,
            "required": required,
            "additionalProperties": True if others == {} else others,
        }
        samples = {name: p["examples"][0] for name, p in properties.items() if p.get("examples")}
        if samples and samples.keys() >= set(required):
            schema["examples"] = [samples]
        return schema | shared

    def _unknown(self, name: str) -> FieldError:
        hint = did_you_mean(name, self.arguments)
        detail = f"The task {self.task!r} takes no argument {name!r}.{hint}"
        return FieldError(json_pointer(("kwargs", name)), "unknown_argument", detail)

    def _checked(self, argument: Argument, name: str, value: Any) -> tuple[Any, list[FieldError]]:
        """Return *value* in the type of the hint, or as it is with its faults."""
        try:
            # Strict JSON: neither `false` nor "5" is a number, but a text may be an instant.
            json = to_json(value)
            return argument.adapter.validate_json(json, strict=True, context=self.context), []
        except ValidationError as error:
            return value, list(self._faults_in(name, value, error))
        except Exception as error:  # noqa: BLE001  # user code: a validator may raise anything
            return value, [self._unchecked(name, error)]

    def _unchecked(self, name: str, error: Exception) -> FieldError:
        kind = type(error).__name__
        detail = (
            f"The argument {name!r} of {self.task!r} cannot be checked: its hint raises {kind}."
        )
        return FieldError(json_pointer(("kwargs", name)), "invalid_value", detail)

    def _faults_in(self, name: str, value: Any, error: ValidationError) -> Iterator[FieldError]:
        for fault in islice(faults(error, lambda loc: _place(value, loc)), MOST_FAULTS):
            wrong = _at(value, fault.place)
            if fault.is_about_text and isinstance(wrong, str) and references.OPENING in wrong:
                # The text of a secret is not known before the run.
                continue
            path = name + "".join(
                f"[{part}]" if isinstance(part, int) else f".{part}" for part in fault.place
            )
            code, text = fault.code, fault.text
            if code == "missing":
                code, text = "missing_argument", f"needs {fault.name!r}."
            elif code == "extra_forbidden":
                code = "unknown_argument"
            yield FieldError(
                json_pointer(("kwargs", name, *fault.place)),
                code,
                f"The argument {path!r} of {self.task!r} {text}",
            )


def arguments_of(task: AnyTask) -> TaskArguments | None:
    """Return the keyword arguments of *task*; None if Python cannot read its signature."""
    if task not in _arguments:
        _arguments[task] = _read(task)
    return _arguments[task]


_arguments: "WeakKeyDictionary[AnyTask, TaskArguments | None]" = WeakKeyDictionary()


def _read(task: AnyTask) -> TaskArguments | None:
    try:
        parameters = list(inspect.signature(task.run).parameters.values())
    except (TypeError, ValueError):
        return None
    # With `pydantic=True` Celery itself makes the models.
    celery_makes_models = hasattr(task.run, "dump_arguments")
    context = {"celery_app": task.app, "celery_task_name": task.name}
    arguments, others = {}, None
    for parameter in parameters:
        if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            arguments[parameter.name] = _argument(parameter, task.run, celery_makes_models)
        elif parameter.kind is parameter.VAR_KEYWORD:
            others = _argument(parameter, task.run, celery_makes_models)
    by_position = tuple(
        p.name for p in parameters if p.kind is p.POSITIONAL_ONLY and p.default is p.empty
    )
    return TaskArguments(
        task=task.name,
        arguments=arguments,
        others=others,
        by_position=by_position,
        descriptions=descriptions_of(inspect.getdoc(task.run) or ""),
        context=context if celery_makes_models else None,
    )


def _argument(parameter: inspect.Parameter, run: Any, celery_makes_models: bool) -> Argument:
    hint = resolved_hint(parameter.annotation, run)
    if parameter.default is None and hint is not Any:
        hint = hint | None
    adapter = adapter_of(hint)
    if adapter is None:
        hint, adapter = Any, TypeAdapter(Any)
    keeps = (BaseModel,) if celery_makes_models else ()
    return Argument(parameter.name, parameter.default, adapter, is_converted(hint, keeps, set()))


def _place(value: Any, loc: Place) -> Place:
    """Return the parts of *loc* that lead into *value*: the others name branches of unions."""
    place: list[str | int] = []
    for part in loc:
        is_key = isinstance(value, dict) and part in value
        is_index = isinstance(value, list) and isinstance(part, int) and part < len(value)
        if is_key or is_index:
            value = value[part]
            place.append(part)
    return tuple(place)


def _at(value: Any, place: Place) -> Any:
    for part in place:
        value = value[part]
    return value
