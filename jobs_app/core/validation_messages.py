"""What pydantic says of an input, as a code and the rest of a sentence; input is never echoed."""

import re
from typing import Any

from pydantic_core import ErrorDetails

#: What each error of a type had expected.
TYPES = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "int_parsing": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "decimal_type": "a number",
    "decimal_parsing": "a number",
    "string_type": "a string",
    "string_sub_type": "a string",
    "bytes_type": "a string",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "none_required": "null",
    "list_type": "a list",
    "tuple_type": "a list",
    "set_type": "a list",
    "frozen_set_type": "a list",
    "iterable_type": "a list",
    "dict_type": "an object",
    "mapping_type": "an object",
    "model_type": "an object",
    "model_attributes_type": "an object",
    "dataclass_type": "an object",
    "typed_dict_type": "an object",
    "datetime_type": "an instant, as in 2026-12-01T09:00:00Z",
    "date_type": "a date, as in 2026-12-01",
    "time_type": "a time, as in 09:30:00",
    "time_delta_type": "a duration, as in PT1H30M",
    "path_type": "a path",
    "url_type": "a URL",
    "uuid_parsing": "a UUID",
    "uuid_type": "a UUID",
}

#: Texts that only look like what was expected.
_FORMATS = {
    "datetime_parsing": TYPES["datetime_type"],
    "datetime_from_date_parsing": TYPES["datetime_type"],
    "date_parsing": TYPES["date_type"],
    "date_from_datetime_parsing": TYPES["date_type"],
    "date_from_datetime_inexact": TYPES["date_type"],
    "time_parsing": TYPES["time_type"],
    "time_delta_parsing": TYPES["time_delta_type"],
    "url_parsing": TYPES["url_type"],
    "timezone_aware": "an instant with its offset or Z",
}

_BOUNDS = {
    "greater_than_equal": ("too_small", "must be at least {ge}"),
    "greater_than": ("too_small", "must be greater than {gt}"),
    "less_than_equal": ("too_large", "must be at most {le}"),
    "less_than": ("too_large", "must be less than {lt}"),
    "multiple_of": ("invalid_value", "must be a multiple of {multiple_of}"),
    "string_too_long": ("too_long", "must have at most {max_length} characters"),
    "string_too_short": ("too_short", "must have at least {min_length} characters"),
    "too_long": ("too_long", "must have at most {max_length} entries"),
    "too_short": ("too_short", "must have at least {min_length} entries"),
    "finite_number": ("out_of_range", "must be a finite number"),
    "int_parsing_size": ("out_of_range", "is too large"),
}

_SHOULD = re.compile(r"^[A-Z]\w* (should|must) ")


def told(error: ErrorDetails) -> tuple[str, str]:
    """Return the code of *error*, and what follows the name of the field, with a full stop."""
    kind, context = error["type"], error.get("ctx", {})
    if kind in TYPES:
        found = kind_of(error["input"])
        suffix = "" if kind == "uuid_parsing" else f", not {found}"
        return "wrong_type", f"must be {TYPES[kind]}{suffix}."
    if kind in _FORMATS:
        return "bad_format", f"must be {_FORMATS[kind]}."
    if kind in _BOUNDS:
        code, said = _BOUNDS[kind]
        said = re.sub(r" 1 (character|entrie)s$", _singular, said.format(**context))
        return code, f"{said}."
    if kind in {"enum", "literal_error"}:
        return "not_a_choice", f"must be one of {context['expected']}."
    if kind == "string_pattern_mismatch":
        return "bad_format", f"must match the pattern {context['pattern']}."
    if kind in {"value_error", "assertion_error"}:
        # The words of whoever wrote the check.
        said = error["msg"].partition(", ")[2]
        return "invalid_value", f"is refused: {said.rstrip('.')}."
    # PydanticCustomError: texts of ours go on after the name, and so does what is made of the rest.
    return kind, _SHOULD.sub("must ", error["msg"]).rstrip(".") + "."


def _singular(found: re.Match[str]) -> str:
    return " 1 character" if found[1] == "character" else " 1 entry"


def kind_of(value: Any) -> str:
    """Return what JSON calls *value*."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, int | float):
        return "a number"
    kinds: dict[type, str] = {str: "a string", list: "a list", dict: "an object"}
    return kinds.get(type(value), "something else")


def escaped(name: str) -> str:
    """Return *name* as a part of a JSON Pointer (RFC 6901)."""
    return name.replace("~", "~0").replace("/", "~1")
