"""The arguments that a task's signature takes: checked, converted, as JSON Schema.

A job gives all of them by name. A hint that cannot be resolved, or that pydantic does not
know, takes any value.
"""

import inspect
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any
from weakref import WeakKeyDictionary

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic_core import to_json, to_jsonable_python

from jobs_app.core.errors import FieldError
from jobs_app.core.text import did_you_mean
from jobs_app.core.validation_messages import Place, faults, json_pointer
from jobs_app.secrets import references
from jobs_app.tasks.any_task import AnyTask
from jobs_app.tasks.argument_docs import descriptions_of
from jobs_app.tasks.argument_types import USER_ERRORS, adapter_of, is_converted, resolved_hint
from jobs_app.tasks.parameters import (
    MORE_BY_NAME,
    MORE_BY_POSITION,
    Parameter,
    call_of,
    names_of,
    parameters_of,
    positional_names,
)

#: Most faults of one argument that are reported: a list may hold thousands of wrong entries.
MOST_FAULTS = 20


@dataclass(frozen=True, slots=True)
class Argument:
    """An argument of a task. `note` says why its hint is not checked; None if it is."""

    parameter: Parameter
    adapter: TypeAdapter[Any]
    is_converted: bool
    note: str | None = None

    @property
    def name(self) -> str:
        """Its name in the kwargs of a job."""
        return self.parameter.name

    @property
    def is_required(self) -> bool:
        """Whether a job must give this argument."""
        return self.parameter.is_required


@dataclass(frozen=True, slots=True)
class TaskArguments:
    """The arguments that a task takes, by name.

    `*args` is a list under its own name. `others` is `**kwargs`, None if it has none.
    `context` is pydantic's validation context.
    """

    task: str
    arguments: dict[str, Argument]
    others: Argument | None
    descriptions: dict[str, str]
    context: dict[str, Any] | None

    def faults(self, kwargs: Mapping[str, Any]) -> Iterator[FieldError]:
        """Yield the faults of a call of the task with *kwargs*, which are JSON values."""
        for name, argument in self.arguments.items():
            if argument.is_required and name not in kwargs:
                detail = f"The task {self.task!r} needs the argument {name!r}."
                yield FieldError("/kwargs", "missing_argument", detail, name)
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

    def call(self, kwargs: Mapping[str, Any]) -> tuple[list[Any], dict[str, Any]]:
        """Return the positional and keyword arguments of a call with *kwargs* of a job.

        Raises ValueError.
        """
        return call_of(self._parameters(), kwargs)

    def named(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """Return the arguments of a call as a job has them; raises ValueError, with a sentence."""
        return names_of(self._parameters(), args, kwargs)

    def positional(self) -> list[str]:
        """Return the names of the arguments that a call gives by position, in order.

        `*NAME` at the end takes all others.
        """
        return positional_names(self._parameters())

    def _parameters(self) -> list[Parameter]:
        return [argument.parameter for argument in self.arguments.values()]

    def as_json(
        self, kwargs: Mapping[str, Any], *, received: Mapping[str, Any], stored: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Return *kwargs*, with which a task asks to be called again, as JSON values.

        A value that is the same object as in *received* is returned as it was *stored*.
        """
        return {
            name: stored[name]
            if name in stored and name in received and value is received[name]
            else self._plain(name, value)
            for name, value in kwargs.items()
        }

    def _plain(self, name: str, value: Any) -> Any:
        argument = self.arguments.get(name, self.others)
        if argument is None or not argument.is_converted:
            return value
        return to_jsonable_python(value)

    def schema(self) -> dict[str, Any]:
        """Return a JSON Schema of the arguments, as an object."""
        listed = list(self.arguments.values()) + ([self.others] if self.others else [])
        by_name, shared = TypeAdapter.json_schemas(
            [(argument.name, "validation", argument.adapter) for argument in listed]
        )
        properties = {
            name: self._property(argument, by_name[name, "validation"])
            for name, argument in self.arguments.items()
        }
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

    def _property(self, argument: Argument, schema: dict[str, Any]) -> dict[str, Any]:
        """Return the JSON Schema of an argument, with its description and its default."""
        text = self.descriptions.get(argument.name)
        described = ({"description": text} if text else {}) | schema
        default = argument.parameter.default
        if default is inspect.Parameter.empty or "default" in described:
            return described
        try:
            value = to_jsonable_python(default)
            json.dumps(value, allow_nan=False)
        except USER_ERRORS:  # user code: a default may be any object
            return described
        return described | {"default": value}

    def notes(self) -> list[str]:
        """Return a sentence about each hint that is not checked because it fails."""
        return [argument.note for argument in self.arguments.values() if argument.note]

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
        except USER_ERRORS as error:  # user code: a validator may raise anything
            return value, [self._unchecked(name, error)]

    def _unchecked(self, name: str, error: BaseException) -> FieldError:
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
        parameters = parameters_of(task.run)
        description = descriptions_of(inspect.getdoc(task.run) or "")
    except USER_ERRORS:  # user code: a signature may be a property
        return None
    # With `pydantic=True` Celery itself makes the models.
    celery_makes_models = hasattr(task.run, "dump_arguments")
    context = {"celery_app": task.app, "celery_task_name": task.name}
    read = [_argument(parameter, celery_makes_models) for parameter in parameters]
    others = [argument for argument in read if argument.parameter.kind is MORE_BY_NAME]
    return TaskArguments(
        task=task.name,
        arguments={a.name: a for a in read if a.parameter.kind is not MORE_BY_NAME},
        others=others[0] if others else None,
        descriptions=description,
        context=context if celery_makes_models else None,
    )


def _argument(parameter: Parameter, celery_makes_models: bool) -> Argument:
    keeps = (BaseModel,) if celery_makes_models else ()
    note = None
    try:
        hint = resolved_hint(parameter.annotation, parameter.function)
        if parameter.default is None and hint is not Any:
            hint = hint | None
        if parameter.kind is MORE_BY_POSITION:
            hint = list[hint]  # type: ignore[valid-type]  # known at run time only
        if (adapter := adapter_of(hint)) is not None:
            return Argument(parameter, adapter, is_converted(hint, keeps, set()))
    except USER_ERRORS as error:  # user code: a class may make its own schema
        kind = type(error).__name__
        note = f"The argument {parameter.name!r} takes anything: its hint raises {kind}."
    return Argument(parameter, TypeAdapter(Any), is_converted=False, note=note)


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
