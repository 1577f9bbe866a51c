"""References to secrets in the arguments of a task, `${secret:NAME}` in any text of them.

Pure: no clock, no database, no key. `${secret:}` stands for the text `${secret:` itself.
A `shell` job may refer to secrets in its `env` only: in the command the shell would read a
value as code, and every process of the machine could see it.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from jobs_app.core.errors import FieldError
from jobs_app.core.validation_messages import escaped

NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}")
NAME_RULE = "a letter and at most 63 more letters, digits, '_' or '-'"

#: What stands before the name of a secret.
OPENING = "${secret:"

# Without a name: the opening itself is meant. Without the brace: it is malformed.
_FOUND = re.compile(rf"\$\{{secret:(?:({NAME.pattern})?(\}}))?")

#: Where a task may refer to secrets, for tasks that may not do so everywhere.
_PLACES = {"shell": "env"}

Values = Mapping[str, str]


def names(task: str, kwargs: Mapping[str, Any]) -> set[str]:
    """Return the secrets that *task* is given with *kwargs*."""
    return names_in(_allowed(task, kwargs))


def names_in(value: Any) -> set[str]:
    """Return the secrets that the texts in *value* refer to."""
    texts = [text for _, text in _texts(value, "")]
    return {match[1] for text in texts for match in _FOUND.finditer(text) if match[1]}


def errors(task: str, kwargs: Mapping[str, Any]) -> list[FieldError]:
    """Return what is wrong with the references in *kwargs*, whichever secrets there are."""
    found = list(_malformed(_allowed(task, kwargs)))
    place = _PLACES.get(task)
    if place is not None:
        for pointer, text in _texts({k: v for k, v in kwargs.items() if k != place}, "/kwargs"):
            found += [_misplaced(pointer, name) for name in sorted(names_in(text))]
    return found


def pointers(task: str, kwargs: Mapping[str, Any], name: str) -> list[str]:
    """Return the JSON Pointers to the texts in *kwargs* that refer to the secret *name*."""
    texts = _texts(_allowed(task, kwargs), "/kwargs")
    return [pointer for pointer, text in texts if name in names_in(text)]


def resolve(task: str, kwargs: Mapping[str, Any], values: Values) -> dict[str, Any]:
    """Return *kwargs* with the *values* of the secrets in place of the references.

    Raises KeyError with the name of one that is not among *values*.
    """
    allowed = _allowed(task, kwargs)
    return {**kwargs, **_mapped(allowed, lambda text: _resolved(text, values))}


def _resolved(text: str, values: Values) -> str:
    def put(match: re.Match[str]) -> str:
        return values[match[1]] if match[1] else OPENING

    return _FOUND.sub(put, text) if OPENING in text else text


def put_back(
    task: str,
    given: Mapping[str, Any],
    changed: Mapping[str, Any],
    values: Values,
    *,
    clean: Callable[[Any], Any],
) -> dict[str, Any]:
    """Return *changed*, arguments that were made from resolved ones, with references again.

    *given* are the arguments as the job has them. What did not change is as it was there;
    elsewhere each occurrence of a value becomes a reference to its secret, and *clean*
    takes out what no reference can stand for.
    """

    def back(given: Any, resolved: Any, changed: Any) -> Any:
        if type(changed) is type(resolved) and changed == resolved:
            return given
        match changed:
            case str():
                return clean(_referring(changed, values))
            case dict():
                return {
                    clean(key): back(_part(given, key), _part(resolved, key), each)
                    for key, each in changed.items()
                }
            case list() | tuple():
                return [
                    back(_part(given, n), _part(resolved, n), each)
                    for n, each in enumerate(changed)
                ]
            case _:
                return clean(changed)

    back_again: dict[str, Any] = back(given, resolve(task, given, values), dict(changed))
    return back_again


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

    def put(match: re.Match[str]) -> str:
        name = by_value.get(match[0])
        return f"{OPENING}{name or ''}}}"

    return pattern.sub(put, text)


def _allowed(task: str, kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Return those of *kwargs* in which *task* may refer to secrets."""
    place = _PLACES.get(task)
    return {k: v for k, v in kwargs.items() if place is None or k == place}


def _texts(value: Any, pointer: str) -> Iterator[tuple[str, str]]:
    """Yield the texts in *value* that may hold a reference, each with its JSON Pointer."""
    match value:
        case str():
            if OPENING in value:
                yield pointer, value
        case dict():
            for key, each in value.items():
                yield from _texts(each, f"{pointer}/{escaped(str(key))}")
        case list():
            for n, each in enumerate(value):
                yield from _texts(each, f"{pointer}/{n}")


def _mapped(value: Any, change: Callable[[str], str]) -> Any:
    """Return *value* with its texts, but not the names in it, changed."""
    match value:
        case str():
            return change(value)
        case dict():
            return {key: _mapped(each, change) for key, each in value.items()}
        case list():
            return [_mapped(each, change) for each in value]
        case _:
            return value


def _malformed(kwargs: Mapping[str, Any]) -> Iterator[FieldError]:
    for pointer, text in _texts(kwargs, "/kwargs"):
        if not all(match[2] for match in _FOUND.finditer(text)):
            detail = (
                f"A reference to a secret is {OPENING}NAME}}, and a name is {NAME_RULE}; "
                f"write {OPENING}}} for the text {OPENING} itself."
            )
            yield FieldError(pointer, "malformed_reference", detail)
    for pointer in _named_by_references(kwargs, "/kwargs"):
        detail = "A reference to a secret stands in a value, not in a name."
        yield FieldError(pointer, "misplaced_reference", detail)


def _named_by_references(value: Any, pointer: str) -> Iterator[str]:
    match value:
        case dict():
            for key, each in value.items():
                if names_in(str(key)):
                    yield pointer
                yield from _named_by_references(each, f"{pointer}/{escaped(str(key))}")
        case list():
            for n, each in enumerate(value):
                yield from _named_by_references(each, f"{pointer}/{n}")


def _misplaced(pointer: str, name: str) -> FieldError:
    variable = name.upper().replace("-", "_")
    detail = (
        "The task 'shell' takes secrets in env only: in a command others could see them. "
        f'Say env {{"{variable}": "{OPENING}{name}}}"}}, and "${variable}" in the command.'
    )
    return FieldError(pointer, "misplaced_reference", detail)
