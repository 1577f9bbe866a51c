"""What a task's signature says of its keyword arguments: checked, converted, and as JSON Schema.

A hint that cannot be resolved, or that pydantic knows nothing of, takes anything.
"""

import dataclasses
import inspect
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import PurePath
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin, get_type_hints
from uuid import UUID
from weakref import WeakKeyDictionary

from celery import Task
from pydantic import (
    BaseModel,
    PydanticSchemaGenerationError,
    PydanticUserError,
    SecretStr,
    TypeAdapter,
    ValidationError,
)
from pydantic_core import (
    ErrorDetails,
    PydanticSerializationError,
    to_json,
    to_jsonable_python,
)

from jobs_app.core.errors import FieldError
from jobs_app.core.text import did_you_mean
from jobs_app.core.validation_messages import TYPES, escaped, kind_of, told
from jobs_app.secrets import references

AnyTask = Task[Any, Any]

#: What is no JSON value and is made of one before the task gets it.
CONVERTED = (
    *(datetime, date, time, timedelta, Decimal, UUID, Enum, PurePath, bytes),
    *(tuple, set, frozenset, BaseModel, SecretStr),
)


#: Faults of one argument that are told; a list may hold thousands of wrong entries.
MOST_FAULTS = 20


@dataclass(frozen=True, slots=True)
class Argument:
    """A keyword argument of a task; `default` is `inspect.Parameter.empty` where it needs one."""

    name: str
    default: Any
    adapter: TypeAdapter[Any]
    is_converted: bool

    @property
    def is_required(self) -> bool:
        """Whether a job must give it."""
        return self.default is inspect.Parameter.empty


@dataclass(frozen=True, slots=True)
class Signature:
    """The keyword arguments that a task takes.

    `others` is what it takes under any other name (`**kwargs`), None if nothing;
    `by_position` are those that no job can give, because they have no name.
    """

    task: str
    arguments: dict[str, Argument]
    others: Argument | None
    by_position: tuple[str, ...]
    descriptions: dict[str, str]
    context: dict[str, Any] | None

    def faults(self, kwargs: Mapping[str, Any]) -> Iterator[FieldError]:
        """Yield what is wrong with calling the task with *kwargs*, JSON values."""
        for name in self.by_position:
            detail = f"The task {self.task!r} takes {name!r} by position only: no job can give it."
            yield FieldError("/kwargs", "positional_only", detail)
        for name, argument in self.arguments.items():
            if argument.is_required and name not in kwargs:
                detail = f"The task {self.task!r} needs the argument {name!r}."
                yield FieldError("/kwargs", "missing_argument", detail)
        for name, value in kwargs.items():
            found = self.arguments.get(name, self.others)
            if found is None:
                yield self._unknown(name)
            else:
                yield from self._faults_of(found, name, value)

    def converted(self, kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """Return *kwargs* as the hints have them: a `datetime` for a text where one is asked for.

        What JSON has a value for stays as it is, also what fits no hint: Python refuses it
        in its own words. Raises ValueError, which echoes no value.
        """
        given = dict(kwargs)
        for name, value in kwargs.items():
            argument = self.arguments.get(name, self.others)
            if argument is not None and argument.is_converted:
                faults = []
                try:
                    given[name] = self._validated(argument, value)
                except ValidationError as error:
                    faults = self._sentences(name, value, error)
                except Exception as error:  # noqa: BLE001  # a check of the user's own
                    faults = [self._unchecked(name, error)]
                if faults:
                    raise ValueError(" ".join(fault.detail for fault in faults))
        return given

    def as_json(
        self, kwargs: Mapping[str, Any], *, given: Mapping[str, Any], stored: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Return *kwargs*, which a task wants to be called with again, as they can be stored.

        What is still the very value that the task was *given* is as it was *stored*.
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
            shown = described | by_name[name, "validation"]
            if not argument.is_required and "default" not in shown:
                with suppress(PydanticSerializationError, ValueError):
                    shown["default"] = to_jsonable_python(argument.default)
            properties[name] = shown
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
        return FieldError(f"/kwargs/{escaped(name)}", "unknown_argument", detail)

    def _validated(self, argument: Argument, value: Any) -> Any:
        # As JSON, strictly: `false` is no number and "5" neither, but a text may be an instant.
        return argument.adapter.validate_json(to_json(value), strict=True, context=self.context)

    def _faults_of(self, argument: Argument, name: str, value: Any) -> Iterator[FieldError]:
        try:
            self._validated(argument, value)
        except ValidationError as error:
            yield from self._sentences(name, value, error)
        except Exception as error:  # noqa: BLE001  # a check of the user's own
            yield self._unchecked(name, error)

    def _unchecked(self, name: str, error: Exception) -> FieldError:
        kind = type(error).__name__
        detail = (
            f"The argument {name!r} of {self.task!r} cannot be checked: its hint raises {kind}."
        )
        return FieldError(f"/kwargs/{escaped(name)}", "invalid_value", detail)

    def _sentences(self, name: str, value: Any, error: ValidationError) -> list[FieldError]:
        """Return a fault for each place that *error* names, union branches taken together."""
        by_place: dict[tuple[str | int, ...], list[ErrorDetails]] = {}
        for each in error.errors(include_url=False):
            place = _place(value, each["loc"])
            by_place.setdefault(place, []).append(each)
        # What is wrong within a value says more than that the value does not fit another branch.
        above = {place[:depth] for place in by_place for depth in range(len(place))}
        found: list[FieldError] = []
        for place, errors in by_place.items():
            if place in above:
                errors = [each for each in errors if each["type"] == "missing"]
            found += self._sentence(name, place, _at(value, place), errors)
            if len(found) >= MOST_FAULTS:
                break
        return found

    def _sentence(
        self, name: str, place: tuple[str | int, ...], value: Any, errors: list[ErrorDetails]
    ) -> Iterator[FieldError]:
        shown = name + "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in place)
        pointer = "".join(f"/{escaped(str(part))}" for part in ("kwargs", name, *place))
        subject = f"The argument {shown!r} of {self.task!r}"
        for each in (each for each in errors if each["type"] == "missing"):
            detail = f"{subject} needs {str(each['loc'][-1])!r}."
            yield FieldError(pointer, "missing_argument", detail)
        others = [each for each in errors if each["type"] != "missing"]
        # Of a union, the branch counts whose type it is.
        others = [each for each in others if each["type"] not in TYPES] or others
        if not others or (isinstance(value, str) and _is_refused_secret(value, others)):
            return
        if all(each["type"] in TYPES for each in others):
            expected = " or ".join(dict.fromkeys(TYPES[each["type"]] for each in others))
            found = "" if isinstance(value, str) and expected == "a UUID" else kind_of(value)
            detail = f"{subject} must be {expected}{f', not {found}' if found else ''}."
            yield FieldError(pointer, "wrong_type", detail)
            return
        texts = [told(each) for each in others]
        if texts[-1][0] == "extra_forbidden":
            texts = [("unknown_argument", "is not known.")]
        said = ", or ".join(dict.fromkeys(text.rstrip(".") for _, text in texts))
        yield FieldError(pointer, texts[0][0], f"{subject} {said}.")


def signature_of(task: AnyTask) -> Signature | None:
    """Return what *task* can be given by keyword; None if its signature is not to be had."""
    if task not in _signatures:
        _signatures[task] = _read(task)
    return _signatures[task]


_signatures: "WeakKeyDictionary[AnyTask, Signature | None]" = WeakKeyDictionary()


def _read(task: AnyTask) -> Signature | None:
    try:
        parameters = list(inspect.signature(task.run).parameters.values())
    except (TypeError, ValueError):
        return None
    # Celery makes models of its own accord, for tasks that ask for it (`pydantic=True`).
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
    return Signature(
        task=task.name,
        arguments=arguments,
        others=others,
        by_position=by_position,
        descriptions=_descriptions(inspect.getdoc(task.run) or ""),
        context=context if celery_makes_models else None,
    )


def _argument(parameter: inspect.Parameter, run: Any, celery_makes_models: bool) -> Argument:
    hint = _hint(parameter.annotation, run)
    if parameter.default is None and hint is not Any:
        hint = hint | None
    adapter = _adapter(hint)
    if adapter is None:
        hint, adapter = Any, TypeAdapter(Any)
    keeps = (BaseModel,) if celery_makes_models else ()
    return Argument(parameter.name, parameter.default, adapter, _is_converted(hint, keeps, set()))


def _hint(annotation: Any, run: Any) -> Any:
    """Return a parameter's hint with its forward references resolved; Any where that fails."""
    if annotation is inspect.Parameter.empty:
        return Any
    function = inspect.unwrap(getattr(run, "__func__", run))
    holder = type("Holder", (), {"__annotations__": {"it": annotation}})
    try:
        hints = get_type_hints(
            holder, globalns=getattr(function, "__globals__", {}), include_extras=True
        )
    except Exception:  # noqa: BLE001  # the user's expression: it may raise whatever it likes
        return Any
    return hints["it"]


def _adapter(hint: Any) -> TypeAdapter[Any] | None:
    """Return what checks values against *hint*; None if pydantic cannot make anything of it."""
    try:
        adapter = TypeAdapter(hint)
        # A class without a schema of its own could never come out of JSON.
        adapter.json_schema()
    except (PydanticSchemaGenerationError, PydanticUserError, NameError, TypeError):
        return None
    return adapter


def _is_converted(hint: Any, keeps: tuple[type, ...], seen: set[int]) -> bool:
    """Tell whether *hint* asks for anything that is no JSON value, but for *keeps*."""
    if id(hint) in seen:
        return False
    seen.add(id(hint))
    if hasattr(hint, "__value__"):
        return _is_converted(hint.__value__, keeps, seen)
    origin = get_origin(hint)
    if origin is Literal:
        return any(isinstance(value, Enum) for value in get_args(hint))
    if origin is Annotated:
        return _is_converted(get_args(hint)[0], keeps, seen)
    kind = origin or hint
    if isinstance(kind, TypeVar) or not isinstance(kind, type):
        return any(_is_converted(each, keeps, seen) for each in get_args(hint))
    if issubclass(kind, keeps):
        return False
    is_special = issubclass(kind, CONVERTED) or dataclasses.is_dataclass(kind)
    return is_special or any(_is_converted(each, keeps, seen) for each in get_args(hint))


def _place(value: Any, loc: Iterable[str | int]) -> tuple[str | int, ...]:
    """Return the part of *loc* that leads into *value*: the rest names branches of unions."""
    place: list[str | int] = []
    for part in loc:
        is_key = isinstance(value, dict) and part in value
        is_index = isinstance(value, list) and isinstance(part, int) and part < len(value)
        if is_key or is_index:
            value = value[part]
            place.append(part)
    return tuple(place)


def _at(value: Any, place: Iterable[str | int]) -> Any:
    for part in place:
        value = value[part]
    return value


def _is_refused_secret(value: str, errors: list[ErrorDetails]) -> bool:
    """Tell whether only the look of a text is at fault that is not known before the run."""
    return references.OPENING in value and any(
        each["type"] not in TYPES or each["type"].endswith("_parsing") for each in errors
    )


_SECTION = re.compile(r"(?:Args|Arguments|Parameters):")
_ITEM = re.compile(r"\*{0,2}(\w+)\s*(?:\([^)]*\))?:\s*(.*)")
_SPHINX_ITEM = re.compile(r":param\s+(?:[^:]*\s)?(\w+):\s*(.*)")


def _descriptions(doc: str) -> dict[str, str]:
    """Return what a docstring says of each argument, in Google's or Sphinx's way."""
    found: dict[str, str] = {}
    name: str | None = None  # of the argument whose description may go on
    depth = 0
    section: int | None = None  # how far the items below "Args:" are indented, once there is one
    is_in_section = False
    for line in doc.splitlines():
        text = line.strip()
        indent = len(line) - len(line.lstrip())
        if is_in_section and text and indent == 0:
            is_in_section, name = False, None
        if item := _SPHINX_ITEM.fullmatch(text):
            name, depth = item[1], indent
            found[name] = item[2]
        elif _SECTION.fullmatch(text):
            is_in_section, section, name = True, None, None
        elif is_in_section and section in (None, indent) and (item := _ITEM.fullmatch(text)):
            name, depth, section = item[1], indent, indent
            found[name] = item[2]
        elif name is not None and text and indent > depth:
            found[name] = f"{found[name]} {text}".strip()
        else:
            name = None
    return {name: text for name, text in found.items() if text}
