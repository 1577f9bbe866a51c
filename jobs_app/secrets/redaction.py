"""Redaction: masks arguments whose names look like secrets, and passwords in addresses."""

import re
from collections.abc import Mapping
from functools import lru_cache
from itertools import islice, pairwise
from typing import Any

from jobs_app.core.errors import MAX_ERRORS, FieldError
from jobs_app.core.json_values import parts, with_leaves
from jobs_app.core.validation_messages import Place, json_pointer
from jobs_app.secrets.address_redaction import with_secrets_of_addresses
from jobs_app.secrets.references import names_in

MASK = "***"

#: Names in warnings are cut to so many characters.
MAX_NAME_CHARS = 80

#: Shorter values are not masked: they occur in too much other text.
MIN_MASKED_LENGTH = 4

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_SECRET_WORDS = frozenset(
    {"authorization", "cookie", "credential", "credentials", "passphrase", "passwd", "password"}
    | {"passwords", "pwd", "secret", "secrets", "token", "apikey", "bearer"}
)
_SECRET_PAIRS = frozenset({("api", "key"), ("access", "key"), ("private", "key")})

#: Words at the end of the name of a token that says where a list goes on, and is no secret.
PAGE_TOKENS = frozenset((one, "token") for one in ("next", "starting", "page", "continuation"))


@lru_cache(maxsize=1024)
def looks_secret(name: str) -> bool:
    """Tell whether an argument called *name* is likely to hold a secret."""
    words = [word.lower() for word in _WORD.findall(name)]
    if any(word in _SECRET_WORDS or word.endswith("password") for word in words):
        return True
    return any(pair in _SECRET_PAIRS for pair in pairwise(words))


def is_secret_parameter(name: str) -> bool:
    """Tell whether a parameter of an address is likely to hold a secret."""
    words = [word.lower() for word in _WORD.findall(name)]
    return looks_secret(name) and tuple(words[-2:]) not in PAGE_TOKENS


def redacted(kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Return *kwargs* with secret values masked, judged by their names; references stay.

    Of an address, the password and parameters with such names are masked.
    """
    masked: dict[str, Any] = with_leaves(dict(kwargs), _redacted)
    return masked


def literal_secrets(kwargs: Mapping[str, Any]) -> list[str]:
    """Return the paths in *kwargs* of literal values that `redacted` masks.

    At most MAX_ERRORS of them; a long name is cut.
    """
    places = (
        place
        for place, value in parts(dict(kwargs))
        if not isinstance(value, dict | list) and _redacted(place, value) != value
    )
    return [
        ".".join(["kwargs", *(str(part)[:MAX_NAME_CHARS] for part in place)])
        for place in islice(places, MAX_ERRORS)
    ]


def copied_masks(kwargs: Mapping[str, Any]) -> list[FieldError]:
    """Return an error for each value that is a mask: somebody sent back what was shown.

    Whoever may not see arguments gets the mask in place of each whole argument.
    """
    detail = f"{MASK} is only shown in place of a value: give the value, or refer to a secret."
    masks = (
        FieldError(json_pointer(("kwargs", *place)), "masked_value", detail)
        for place, value in parts(dict(kwargs))
        if (value == MASK and (len(place) == 1 or _is_in_secret(place)))
        or _has_masked_address(value)
    )
    return list(islice(masks, MAX_ERRORS + 1))


def _redacted(place: Place, value: Any) -> Any:
    if value is None or isinstance(value, bool) or value == "":
        return value
    if _is_in_secret(place):
        return value if names_in(value) else MASK
    if not isinstance(value, str):
        return value
    return with_secrets_of_addresses(value, lambda _: MASK, looks_secret=is_secret_parameter)


def _has_masked_address(value: Any) -> bool:
    """Tell whether *value* has the mask in an address, where a secret was."""
    if not isinstance(value, str) or MASK not in value:
        return False
    secrets: list[str] = []

    def note(secret: str) -> str:
        secrets.append(secret)
        return secret

    with_secrets_of_addresses(value, note, looks_secret=is_secret_parameter)
    return MASK in secrets


def _is_in_secret(place: Place) -> bool:
    """Tell whether a name on the way to *place* looks secret."""
    return any(looks_secret(str(part)) for part in place)
