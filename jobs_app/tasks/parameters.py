"""The parameters with which a task can be called, and the calls that named arguments make.

The outermost decorator says how a task can be called. Celery's own wrappers say nothing.
The functions inside add hints and, behind `**kwargs`, names that may be given.
"""

import inspect
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from jobs_app.core.text import counted

#: Modules whose wrappers take the arguments of the function that they wrap.
TRANSPARENT = frozenset(
    {
        *("celery.app.autoretry", "celery.app.base"),
        *("jobs_app.worker.coroutines", "jobs_app.worker.invocation"),
    }
)

EMPTY = inspect.Parameter.empty
BY_POSITION = inspect.Parameter.POSITIONAL_ONLY
BY_EITHER = inspect.Parameter.POSITIONAL_OR_KEYWORD
BY_NAME = inspect.Parameter.KEYWORD_ONLY
MORE_BY_POSITION = inspect.Parameter.VAR_POSITIONAL
MORE_BY_NAME = inspect.Parameter.VAR_KEYWORD


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of a task; `function` is the one whose module resolves its hint.

    `default` is EMPTY if it has none, or if a decorator may give the value.
    """

    name: str
    kind: Any
    annotation: Any
    default: Any
    is_required: bool
    function: Any


def parameters_of(run: Any) -> list[Parameter]:
    """Return the parameters of the method `run` of a task, without `self`.

    Raises what Python raises for a function whose signature it cannot read.
    """
    function, is_bound = _outermost(run)
    outer = _parameters(function, is_bound=is_bound)
    inner = {p.name: p for p in _inner_parameters(function, is_bound=is_bound)}
    listed = [_with_hint(parameter, inner) for parameter in outer]
    if not any(parameter.kind is MORE_BY_NAME for parameter in outer):
        return listed
    named = [p for p in inner.values() if p.kind in (BY_EITHER, BY_NAME)]
    # A decorator may give what the function inside requires.
    added = [replace(p, kind=BY_NAME, is_required=False) for p in named]
    names = {p.name for p in added}
    kept = [p for p in listed if p.kind is not MORE_BY_POSITION or p.name not in names]
    return [*kept[:-1], *(p for p in added if p.name not in {p.name for p in outer}), kept[-1]]


def _outermost(run: Any) -> tuple[Any, bool]:
    """Return the function that `run` calls, past Celery's wrappers; whether `self` is bound."""
    is_bound = False
    while True:
        if inspect.ismethod(run):
            run, is_bound = run.__func__, True
        module = getattr(run, "__globals__", {}).get("__name__")
        if module not in TRANSPARENT or not hasattr(run, "__wrapped__"):
            return run, is_bound
        run = run.__wrapped__


def _inner_parameters(function: Any, *, is_bound: bool) -> list[Parameter]:
    if not hasattr(function, "__wrapped__"):
        return []
    try:
        return _parameters(inspect.unwrap(function), is_bound=is_bound)
    except (TypeError, ValueError):
        return []


def _parameters(function: Any, *, is_bound: bool) -> list[Parameter]:
    signature = inspect.signature(function, follow_wrapped=False)
    listed = list(signature.parameters.values())
    if is_bound and listed and listed[0].kind is not MORE_BY_POSITION:
        listed = listed[1:]
    return [
        Parameter(
            name=parameter.name,
            kind=parameter.kind,
            annotation=parameter.annotation,
            default=parameter.default,
            is_required=parameter.default is EMPTY
            and parameter.kind not in (MORE_BY_POSITION, MORE_BY_NAME),
            function=function,
        )
        for parameter in listed
    ]


def _with_hint(parameter: Parameter, inner: Mapping[str, Parameter]) -> Parameter:
    """Return *parameter* with the hint of the function inside, if it has none itself."""
    same = inner.get(parameter.name)
    if parameter.annotation is not EMPTY or same is None or same.kind is not parameter.kind:
        return parameter
    return replace(parameter, annotation=same.annotation, function=same.function)


def call_of(
    parameters: Iterable[Parameter], named: Mapping[str, Any]
) -> tuple[list[Any], dict[str, Any]]:
    """Return the positional and the keyword arguments of a call with *named* arguments.

    Arguments that are positional only are taken by their names, and those of `*args` as a
    list under its name. Raises ValueError if a positional argument is missing.
    """
    by_name, listed = dict(named), list(parameters)
    rest: list[Any] = []
    for parameter in listed:
        if parameter.kind is MORE_BY_POSITION and parameter.name in by_name:
            value = by_name.pop(parameter.name)
            rest = list(value) if isinstance(value, list | tuple) else [value]
    positional: list[Any] = []
    for parameter in listed:
        if parameter.kind is not BY_POSITION and not (rest and parameter.kind is BY_EITHER):
            continue
        value = by_name.pop(parameter.name, parameter.default)
        if value is EMPTY:
            raise ValueError(f"The argument {parameter.name!r} is missing.")
        positional.append(value)
    return [*positional, *rest], by_name


def names_of(
    parameters: Iterable[Parameter], args: Sequence[Any], kwargs: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the named arguments of a call: the reverse of `call_of`.

    Raises ValueError, with a sentence, if the parameters do not take the call.
    """
    listed = list(parameters)
    positional = [parameter for parameter in listed if parameter.kind in (BY_POSITION, BY_EITHER)]
    named = {parameter.name: value for parameter, value in zip(positional, args, strict=False)}
    if rest := list(args[len(positional) :]):
        more = next((p.name for p in listed if p.kind is MORE_BY_POSITION), None)
        if more is None:
            raise ValueError(
                f"The call has {counted(len(args), 'positional argument')},"
                f" and the task takes {len(positional) or 'none'}."
            )
        named[more] = rest
    if twice := sorted(named.keys() & kwargs.keys()):
        raise ValueError(f"The call has two values for the argument {twice[0]!r}.")
    return named | dict(kwargs)


def positional_names(parameters: Iterable[Parameter]) -> list[str]:
    """Return the names of the positional *parameters*, in order; `*NAME` is that of `*args`."""
    return [
        f"{'*' if parameter.kind is MORE_BY_POSITION else ''}{parameter.name}"
        for parameter in parameters
        if parameter.kind in (BY_POSITION, BY_EITHER, MORE_BY_POSITION)
    ]


def positional_parameters(names: Iterable[str]) -> list[Parameter]:
    """Return parameters that have these names, as `positional_names` returns them."""
    return [
        Parameter(
            name=name.removeprefix("*"),
            kind=MORE_BY_POSITION if name.startswith("*") else BY_EITHER,
            annotation=EMPTY,
            default=EMPTY,
            is_required=False,
            function=None,
        )
        for name in names
    ]
