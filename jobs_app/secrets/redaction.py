"""Redaction: masks arguments of jobs whose names look like secrets."""

import re
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any

from jobs_app.core.errors import FieldError
from jobs_app.core.validation_messages import escaped
from jobs_app.secrets.references import names_in

MASK = "***"

#: Shorter values are not masked: they occur in too much other text.
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
    """Return *kwargs* with secret values masked, judged by their names; references stay."""
    return {name: _redacted(value, is_secret=looks_secret(name)) for name, value in kwargs.items()}


def literal_secrets(kwargs: Mapping[str, Any]) -> list[str]:
    """Return the paths in *kwargs* with a literal value under a name that looks secret."""
    return list(_differences(kwargs, redacted(kwargs), "kwargs"))


def copied_masks(kwargs: Mapping[str, Any]) -> list[FieldError]:
    """Return an error for each value that is the mask of a secret: somebody sent it back."""
    return list(_copied_masks(kwargs, "/kwargs", is_secret=False))


def _copied_masks(value: Any, pointer: str, *, is_secret: bool) -> Iterator[FieldError]:
    match value:
        case dict():
            for key, item in value.items():
                is_secret_below = is_secret or looks_secret(str(key))
                yield from _copied_masks(
                    item, f"{pointer}/{escaped(str(key))}", is_secret=is_secret_below
                )
        case list():
            for n, item in enumerate(value):
                yield from _copied_masks(item, f"{pointer}/{n}", is_secret=is_secret)
        case str() if is_secret and value == MASK:
            detail = f"{MASK} is only shown in place of a secret: give the value, or a reference."
            yield FieldError(pointer, "masked_value", detail)


def _differences(value: Any, other: Any, path: str) -> Iterator[str]:
    match value:
        case dict():
            for key, item in value.items():
                yield from _differences(item, other[key], f"{path}.{key}")
        case list():
            for n, item in enumerate(value):
                yield from _differences(item, other[n], f"{path}.{n}")
        case _ if value != other:
            yield path


def _redacted(value: Any, *, is_secret: bool) -> Any:
    match value:
        case dict():
            return {
                key: _redacted(item, is_secret=is_secret or looks_secret(str(key)))
                for key, item in value.items()
            }
        case list():
            return [_redacted(item, is_secret=is_secret) for item in value]
        case None | bool() | "":
            return value
        case str() if names_in(value):
            return value
        case _:
            return MASK if is_secret else value
