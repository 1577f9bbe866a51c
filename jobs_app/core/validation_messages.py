"""pydantic's errors as faults: a place, a code and a sentence that never echoes the input."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    # The command line imports this module and must start without pydantic.
    from pydantic import ValidationError
    from pydantic_core import ErrorDetails

#: The value that each type of error expected; JSON decides what is a type.
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

#: The same for texts that cannot be read as one.
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


Place = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault of one place in a document, in words that follow the name of that place.

    `name` is the missing or unknown field, None for other faults. `is_about_text` says
    that the value has the right type, and that another text in its place could be valid.
    """

    place: Place
    code: str
    text: str
    name: str | None = None
    is_about_text: bool = False


def faults(error: "ValidationError", at: Callable[[Place], Place]) -> Iterator[Fault]:
    """Yield the faults that *error* names, those of the branches of a union taken together.

    *at* turns pydantic's `loc` into the place in the document: `loc` also names the
    branches of unions.
    """
    by_place: dict[Place, list[ErrorDetails]] = {}
    for details in error.errors(include_url=False):
        by_place.setdefault(at(details["loc"]), []).append(details)
    # A fault within a value says more than that the value does not fit another branch.
    above = {place[:depth] for place in by_place for depth in range(len(place))}
    for place, errors in by_place.items():
        for details in errors:
            if details["type"] == "missing":
                yield Fault(place, "missing", "is required.", str(details["loc"][-1]))
        others = [details for details in errors if details["type"] != "missing"]
        if others and place not in above:
            yield _fault(place, others)


def _fault(place: Place, errors: "list[ErrorDetails]") -> Fault:
    """Return one fault for the *errors* of one place: of a union, one error a branch."""
    # The branch whose type the value has tells more than the others.
    errors = [details for details in errors if details["type"] not in TYPES] or errors
    kinds = [details["type"] for details in errors]
    is_about_text = any(kind not in TYPES or kind.endswith("_parsing") for kind in kinds)
    if all(kind in TYPES for kind in kinds):
        expected = " or ".join(dict.fromkeys(TYPES[kind] for kind in kinds))
        actual = kind_of(errors[0]["input"])
        # A text that is no UUID: "not a string" would be wrong.
        suffix = "" if set(kinds) == {"uuid_parsing"} else f", not {actual}"
        text = f"must be {expected}{suffix}."
        return Fault(place, "wrong_type", text, is_about_text=is_about_text)
    if kinds[-1] == "extra_forbidden":
        return Fault(place, kinds[-1], "is not known.", str(errors[-1]["loc"][-1]))
    messages = [_message(details) for details in errors]
    text = ", or ".join(dict.fromkeys(text for _, text in messages))
    return Fault(place, messages[0][0], f"{text}.", is_about_text=is_about_text)


def _message(error: "ErrorDetails") -> tuple[str, str]:
    """Return the code of *error*, and its text without the full stop."""
    kind, context = error["type"], error.get("ctx", {})
    if kind in _FORMATS:
        return "bad_format", f"must be {_FORMATS[kind]}"
    if kind in _BOUNDS:
        code, text = _BOUNDS[kind]
        return code, re.sub(r" 1 (character|entrie)s$", _singular, text.format(**context))
    if kind in {"enum", "literal_error"}:
        return "not_a_choice", f"must be one of {context['expected']}"
    if kind == "string_pattern_mismatch":
        return "bad_format", f"must match the pattern {context['pattern']}"
    if kind in {"value_error", "assertion_error"}:
        # pydantic puts "Value error, " before the words of the check.
        return "invalid_value", f"is refused: {error['msg'].partition(', ')[2].rstrip('.')}"
    # PydanticCustomError: our own texts follow the name; pydantic's are turned to do so.
    return kind, _SHOULD.sub("must ", error["msg"]).rstrip(".")


def _singular(plural: re.Match[str]) -> str:
    return " 1 character" if plural[1] == "character" else " 1 entry"


def kind_of(value: Any) -> str:
    """Return the name that JSON has for the type of *value*."""
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


def json_pointer(place: Place) -> str:
    """Return *place* as a JSON Pointer (RFC 6901)."""
    return "".join(f"/{escaped(str(part))}" for part in place)
