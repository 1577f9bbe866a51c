"""pydantic's errors as faults: a place, a code and a sentence that never echoes the input."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jobs_app.core.text import counted

if TYPE_CHECKING:
    # The command line imports this module and must start without pydantic.
    from pydantic import ValidationError
    from pydantic_core import ErrorDetails

_INSTANT = "an instant, as in 2026-12-01T09:00:00Z"
_DATE = "a date, as in 2026-12-01"
_TIME = "a time, as in 09:30:00"
_DURATION = "a duration, as in PT1H30M"


def _by_error(errors: dict[str, str]) -> dict[str, str]:
    return {error: expected for expected, names in errors.items() for error in names.split()}


#: The value that each of pydantic's errors of type expected; JSON decides what is a type.
TYPES = _by_error(
    {
        "a whole number": "int_type int_from_float int_parsing",
        "a number": "float_type float_parsing decimal_type decimal_parsing",
        "a string": "string_type string_sub_type bytes_type",
        "true or false": "bool_type bool_parsing",
        "null": "none_required",
        "a list": "list_type tuple_type set_type frozen_set_type iterable_type",
        "an object": "dict_type mapping_type model_type model_attributes_type dataclass_type"
        " typed_dict_type",
        _INSTANT: "datetime_type",
        _DATE: "date_type",
        _TIME: "time_type",
        _DURATION: "time_delta_type",
        "a path": "path_type",
        "a URL": "url_type",
        "a UUID": "uuid_type uuid_parsing",
    }
)

#: The same for texts that cannot be read as one.
_FORMATS = _by_error(
    {
        _INSTANT: "datetime_parsing datetime_from_date_parsing",
        _DATE: "date_parsing date_from_datetime_parsing date_from_datetime_inexact",
        _TIME: "time_parsing",
        _DURATION: "time_delta_parsing",
        "a URL": "url_parsing",
        "an instant with its offset or Z": "timezone_aware",
    }
)

_BOUNDS = {
    "greater_than_equal": ("too_small", "must be at least {ge}"),
    "greater_than": ("too_small", "must be greater than {gt}"),
    "less_than_equal": ("too_large", "must be at most {le}"),
    "less_than": ("too_large", "must be less than {lt}"),
    "multiple_of": ("invalid_value", "must be a multiple of {multiple_of}"),
    "finite_number": ("out_of_range", "must be a finite number"),
    "int_parsing_size": ("out_of_range", "is too large"),
}

_SIZES = {
    "string_too_long": ("too_long", "must have at most", "max_length", "character"),
    "string_too_short": ("too_short", "must have at least", "min_length", "character"),
    "too_long": ("too_long", "must have at most", "max_length", "entry"),
    "too_short": ("too_short", "must have at least", "min_length", "entry"),
}

_KINDS: dict[type, str] = {
    type(None): "null",
    bool: "true or false",
    int: "a number",
    float: "a number",
    str: "a string",
    list: "a list",
    dict: "an object",
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


def count_faults(error: "ValidationError", at: Callable[[Place], Place]) -> int:
    """Return how many faults `faults` yields, without a sentence for each."""
    return sum(
        sum(details["type"] == "missing" for details in errors)
        + (not is_above and any(details["type"] != "missing" for details in errors))
        for _, errors, is_above in _by_place(error, at)
    )


def faults(error: "ValidationError", at: Callable[[Place], Place]) -> Iterator[Fault]:
    """Yield the faults that *error* names, those of the branches of a union taken together.

    *at* turns pydantic's `loc` into the place in the document: `loc` also names the
    branches of unions.
    """
    for place, errors, is_above in _by_place(error, at):
        for details in errors:
            if details["type"] == "missing":
                yield Fault(place, "missing", "is required.", str(details["loc"][-1]))
        others = [details for details in errors if details["type"] != "missing"]
        if others and not is_above:
            yield _fault(place, others)


def _by_place(
    error: "ValidationError", at: Callable[[Place], Place]
) -> Iterator[tuple[Place, "list[ErrorDetails]", bool]]:
    """Yield each place with its errors, and whether another place lies within it."""
    by_place: dict[Place, list[ErrorDetails]] = {}
    for details in error.errors(include_url=False):
        by_place.setdefault(at(details["loc"]), []).append(details)
    # A fault within a value says more than that the value does not fit another branch.
    above = {place[:depth] for place in by_place for depth in range(len(place))}
    for place, errors in by_place.items():
        yield place, errors, place in above


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
        return code, text.format(**{name: _number(bound) for name, bound in context.items()})
    if kind in _SIZES:
        code, text, bound, unit = _SIZES[kind]
        return code, f"{text} {counted(context[bound], unit)}"
    if kind in {"enum", "literal_error"}:
        return "not_a_choice", f"must be one of {context['expected']}"
    if kind == "string_pattern_mismatch":
        return "bad_format", f"must match the pattern {context['pattern']}"
    if kind in {"value_error", "assertion_error"}:
        # pydantic puts "Value error, " before the words of the check.
        return "invalid_value", f"is refused: {error['msg'].partition(', ')[2].rstrip('.')}"
    # PydanticCustomError: our own texts follow the name; pydantic's are turned to do so.
    return kind, _SHOULD.sub("must ", error["msg"]).rstrip(".")


def _number(bound: Any) -> Any:
    """Return *bound* without the fraction of a whole number: 0 for 0.0."""
    return int(bound) if isinstance(bound, float) and bound.is_integer() else bound


def kind_of(value: Any) -> str:
    """Return the name that JSON has for the type of *value*."""
    return _KINDS.get(type(value), "something else")


def escaped(name: str) -> str:
    """Return *name* as a part of a JSON Pointer (RFC 6901)."""
    return name.replace("~", "~0").replace("/", "~1")


def json_pointer(place: Place) -> str:
    """Return *place* as a JSON Pointer (RFC 6901)."""
    return "".join(f"/{escaped(str(part))}" for part in place)
