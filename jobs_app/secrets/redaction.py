"""Redaction: masks arguments of jobs whose names look like secrets."""

import re
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from jobs_app.core.errors import FieldError
from jobs_app.core.json_values import parts, with_leaves
from jobs_app.core.validation_messages import Place, json_pointer
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
    masked: dict[str, Any] = with_leaves(dict(kwargs), _redacted)
    return masked


def literal_secrets(kwargs: Mapping[str, Any]) -> list[str]:
    """Return the paths in *kwargs* with a literal value under a name that looks secret."""
    return [
        ".".join(["kwargs", *map(str, place)])
        for place, value in parts(dict(kwargs))
        if not isinstance(value, dict | list) and _redacted(place, value) != value
    ]


def copied_masks(kwargs: Mapping[str, Any]) -> list[FieldError]:
    """Return an error for each value that is the mask of a secret: somebody sent it back."""
    detail = f"{MASK} is only shown in place of a secret: give the value, or a reference."
    return [
        FieldError(json_pointer(("kwargs", *place)), "masked_value", detail)
        for place, value in parts(dict(kwargs))
        if value == MASK and _is_in_secret(place)
    ]


def _redacted(place: Place, value: Any) -> Any:
    is_shown = value is None or isinstance(value, bool) or value == "" or names_in(value)
    return value if is_shown or not _is_in_secret(place) else MASK


def _is_in_secret(place: Place) -> bool:
    """Tell whether a name on the way to *place* looks secret."""
    return any(looks_secret(str(part)) for part in place)
