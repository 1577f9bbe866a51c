"""References to secrets: `${secret:NAME}` in any text of a task's arguments.

Pure: no clock, no database, no key. `${secret:}` stands for the text `${secret:` itself.
A `shell` job may refer to secrets only in its `env`: in the command, the shell would run a
value as code, and every process of the machine could see it.
"""

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from itertools import islice
from typing import Any

from jobs_app.core.errors import MAX_ERRORS, FieldError
from jobs_app.core.json_values import parts, with_leaves
from jobs_app.core.validation_messages import Place, json_pointer

NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}")
NAME_RULE = "a letter and at most 63 more letters, digits, '_' or '-'"

#: The text before the name of a secret.
OPENING = "${secret:"

# Without a name it means the opening itself. Without the brace it is malformed.
_REFERENCE = re.compile(rf"\$\{{secret:(?:({NAME.pattern})?(\}}))?")

#: Most secrets that a job may refer to.
MAX_NAMES = 100

#: The only argument in which a task may refer to secrets, for tasks with such a limit.
_ONLY_ARGUMENT = {"shell": "env"}

Values = Mapping[str, str]


def names(task: str, kwargs: Mapping[str, Any]) -> set[str]:
    """Return the names of the secrets that a run of *task* with *kwargs* gets."""
    return names_in(_allowed(task, kwargs))


def names_in(value: Any) -> set[str]:
    """Return the names of the secrets that the texts in *value* refer to."""
    return {
        match[1] for _, text in _texts(value) for match in _REFERENCE.finditer(text) if match[1]
    }


def is_reference(text: str) -> bool:
    """Return whether *text* is a reference to a secret, and nothing else."""
    match = _REFERENCE.fullmatch(text)
    return match is not None and match[1] is not None


def errors(task: str, kwargs: Mapping[str, Any]) -> list[FieldError]:
    """Return the errors of the references in *kwargs*; the secrets need not exist.

    At most one more than MAX_ERRORS are returned, however many there are.
    """
    return list(islice(_errors(task, kwargs), MAX_ERRORS + 1))


def _errors(task: str, kwargs: Mapping[str, Any]) -> Iterator[FieldError]:
    allowed = _allowed(task, kwargs)
    if len(names_in(allowed)) > MAX_NAMES:
        detail = f"A job may refer to {MAX_NAMES} secrets at most."
        yield FieldError("/kwargs", "too_many_references", detail)
    yield from _malformed(allowed)
    argument = _ONLY_ARGUMENT.get(task)
    if argument is not None:
        others = {name: value for name, value in kwargs.items() if name != argument}
        for place, text in _texts(others):
            for name in sorted(names_in(text)):
                yield _misplaced(_pointer(place), name)


def mentions(
    task: str, kwargs: Mapping[str, Any], names: Collection[str]
) -> Iterator[tuple[str, str]]:
    """Yield the JSON Pointer of each text in *kwargs* with each of *names* that it refers to."""
    for place, text in _texts(_allowed(task, kwargs)):
        for name in sorted(names_in(text).intersection(names)):
            yield _pointer(place), name


def resolve(task: str, kwargs: Mapping[str, Any], values: Values) -> dict[str, Any]:
    """Return *kwargs* with the *values* of the secrets in place of the references.

    Raises KeyError with the name of a secret that is not in *values*.
    """
    allowed = _allowed(task, kwargs)

    def replace(match: re.Match[str]) -> str:
        return values[match[1]] if match[1] else OPENING

    def resolved(_: Place, value: Any) -> Any:
        return _REFERENCE.sub(replace, value) if isinstance(value, str) else value

    return {**kwargs, **with_leaves(allowed, resolved)}


def put_back(
    task: str,
    original: Mapping[str, Any],
    changed: Mapping[str, Any],
    values: Values,
    *,
    clean: Callable[[Any], Any],
) -> dict[str, Any]:
    """Return *changed*, arguments made from resolved ones, with references in place of values.

    *original* are the arguments as the job has them. A part that did not change is taken
    from there. Elsewhere each occurrence of a value becomes a reference to its secret, and
    *clean* removes secret text that no reference can stand for.
    """

    def restore(original: Any, resolved: Any, changed: Any) -> Any:
        if type(changed) is type(resolved) and changed == resolved:
            return original
        match changed:
            case str():
                return clean(_referring(changed, values))
            case dict():
                return {
                    clean(key): restore(_part(original, key), _part(resolved, key), item)
                    for key, item in changed.items()
                }
            case list() | tuple():
                return [
                    restore(_part(original, n), _part(resolved, n), item)
                    for n, item in enumerate(changed)
                ]
            case _:
                return clean(changed)

    restored: dict[str, Any] = restore(original, resolve(task, original, values), dict(changed))
    return restored


def _part(whole: Any, key: Any) -> Any:
    if isinstance(whole, dict):
        return whole.get(key)
    if isinstance(whole, list) and isinstance(key, int) and key < len(whole):
        return whole[key]
    return None


def _referring(text: str, values: Values) -> str:
    """Return the text that resolves to *text* and holds none of *values*."""
    by_value = {value: name for name, value in sorted(values.items(), reverse=True)}
    longest_first = sorted(by_value, key=len, reverse=True)
    pattern = re.compile("|".join(map(re.escape, [*longest_first, OPENING])))

    def replace(match: re.Match[str]) -> str:
        name = by_value.get(match[0])
        return f"{OPENING}{name or ''}}}"

    return pattern.sub(replace, text)


def _allowed(task: str, kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments in which *task* may refer to secrets."""
    argument = _ONLY_ARGUMENT.get(task)
    return {k: v for k, v in kwargs.items() if argument is None or k == argument}


def _texts(value: Any) -> Iterator[tuple[Place, str]]:
    """Yield the texts in *value* that may hold a reference, with their places."""
    for place, text in parts(value):
        if isinstance(text, str) and OPENING in text:
            yield place, text


def _pointer(place: Place) -> str:
    return json_pointer(("kwargs", *place))


def _malformed(kwargs: dict[str, Any]) -> Iterator[FieldError]:
    for place, text in _texts(kwargs):
        if not all(match[2] for match in _REFERENCE.finditer(text)):
            detail = (
                f"A reference to a secret is {OPENING}NAME}}, and a name is {NAME_RULE}; "
                f"write {OPENING}}} for the text {OPENING} itself."
            )
            yield FieldError(_pointer(place), "malformed_reference", detail)
    for place, value in parts(kwargs):
        for _ in filter(names_in, value if isinstance(value, dict) else ()):
            detail = "A reference to a secret stands in a value, not in a name."
            yield FieldError(_pointer(place), "misplaced_reference", detail)


def _misplaced(pointer: str, name: str) -> FieldError:
    variable = name.upper().replace("-", "_")
    detail = (
        "The task 'shell' takes secrets in env only: in a command others could see them. "
        f'Say env {{"{variable}": "{OPENING}{name}}}"}}, and "${variable}" in the command.'
    )
    return FieldError(pointer, "misplaced_reference", detail)
