"""Literals that look like secrets: which arguments are shown masked."""

import re
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any

from jobs_app.core.errors import FieldError
from jobs_app.core.validation_messages import escaped
from jobs_app.secrets.references import names_in

MASK = "***"

#: Values with fewer characters are not masked: too much else would be.
MIN_MASKED_LENGTH = 4

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_SECRET_WORDS = frozenset(
    {"authorization", "cookie", "credential", "credentials", "passphrase", "passwd", "password"}
    | {"passwords", "pwd", "secret", "secrets", "token", "apikey", "bearer"}
)
_SECRET_PAIRS = frozenset({("api", "key"), ("access", "key"), ("private", "key")})


def looks_secret(name: str) -> bool:
    """Tell whether an argument called *name* is likely to hold a secret."""
    words = [word.lower() for word in _WORD.findall(name)]
    if any(word in _SECRET_WORDS or word.endswith("password") for word in words):
        return True
    return any(pair in _SECRET_PAIRS for pair in pairwise(words))


def redacted(kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Return *kwargs* to be shown: what the names say is secret is masked, references are not."""
    return {name: _redacted(value, is_secret=looks_secret(name)) for name, value in kwargs.items()}


def literals(kwargs: Mapping[str, Any]) -> list[str]:
    """Return where in *kwargs* something stands in plain that its name says is secret."""
    return list(_differences(kwargs, redacted(kwargs), "kwargs"))


def copied_masks(kwargs: Mapping[str, Any]) -> list[FieldError]:
    """Return an error for each place where the mask of a secret was sent back as its value."""
    return list(_copied_masks(kwargs, "/kwargs", is_secret=False))


def _copied_masks(value: Any, pointer: str, *, is_secret: bool) -> Iterator[FieldError]:
    match value:
        case dict():
            for key, each in value.items():
                below = is_secret or looks_secret(str(key))
                yield from _copied_masks(each, f"{pointer}/{escaped(str(key))}", is_secret=below)
        case list():
            for n, each in enumerate(value):
                yield from _copied_masks(each, f"{pointer}/{n}", is_secret=is_secret)
        case str() if is_secret and value == MASK:
            detail = (
                f"{MASK} is what is shown in place of a secret: give the value, or a reference."
            )
            yield FieldError(pointer, "masked_value", detail)


def _differences(value: Any, other: Any, place: str) -> Iterator[str]:
    match value:
        case dict():
            for key, each in value.items():
                yield from _differences(each, other[key], f"{place}.{key}")
        case list():
            for n, each in enumerate(value):
                yield from _differences(each, other[n], f"{place}.{n}")
        case _ if value != other:
            yield place


def _redacted(value: Any, *, is_secret: bool) -> Any:
    match value:
        case dict():
            return {
                key: _redacted(each, is_secret=is_secret or looks_secret(str(key)))
                for key, each in value.items()
            }
        case list():
            return [_redacted(each, is_secret=is_secret) for each in value]
        case None | bool() | "":
            return value
        case str() if names_in(value):
            return value
        case _:
            return MASK if is_secret else value
