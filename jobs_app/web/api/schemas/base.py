"""The base of request models: strict JSON, and validation errors that never echo the input."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, ClassVar, NoReturn, get_args

from flask import Request, Response
from pydantic import BaseModel, ConfigDict, ValidationError
from werkzeug.exceptions import RequestEntityTooLarge

from jobs_app.core.errors import (
    MAX_ERRORS,
    BadRequest,
    FieldError,
    InvalidInput,
    more_errors,
    refuse,
)
from jobs_app.core.text import did_you_mean, shortened
from jobs_app.core.validation_messages import (
    Fault,
    Place,
    count_faults,
    faults,
    json_pointer,
    kind_of,
)
from jobs_app.web.api import problems

MEDIA_TYPES = frozenset({"application/json", "application/merge-patch+json"})

#: The deepest nesting of lists and objects in a body.
MOST_DEPTH = 32

#: The largest absolute value of an integer that every database and JSON reader can hold.
MOST_NUMBER = 2**63 - 1

#: Longer names of fields are cut in sentences, characters.
MOST_NAME = 60

#: The largest size of a task's kwargs as JSON, bytes.
MOST_KWARGS_BYTES = 262_144


class Input(BaseModel):
    """The base of all request models: strict types, no unknown fields.

    `source` tells where its fields come from: the body, or the address.
    """

    model_config = ConfigDict(strict=True, extra="forbid", regex_engine="rust-regex")

    source: ClassVar[str] = "body"
    #: Fields that only the server writes, each with a sentence how to change it.
    read_only: ClassVar[Mapping[str, str]] = {}
    _known: ClassVar[dict[str, type["Input"]]] = {}
    _plain_schemas: ClassVar[dict[type["Input"], dict[str, Any]]] = {}

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        Input._known[cls.__name__] = cls

    @classmethod
    def model_json_schema(cls, *args: Any, **options: Any) -> dict[str, Any]:
        # Cached: flask-openapi3 calls this for the query and the headers of each request.
        if args or options:
            return super().model_json_schema(*args, **options)
        if cls not in Input._plain_schemas:
            Input._plain_schemas[cls] = super().model_json_schema()
        return Input._plain_schemas[cls]

    @classmethod
    def named(cls, name: str) -> type["Input"] | None:
        """Return the model called *name*; a ValidationError holds only the name of its model."""
        return cls._known.get(name)

    @classmethod
    def names(cls) -> list[str]:
        """Return the names of the fields in a request."""
        return [field.alias or name for name, field in cls.model_fields.items()]


class Query(Input):
    """The base of query strings and paths, where every value is text."""

    model_config = ConfigDict(strict=False)

    source: ClassVar[str] = "address"


class NoQuery(Query):
    """The query string of a route that knows no parameters."""


class NoBody(Input):
    """The body of a route that takes none."""


class JsonRequest(Request):
    """A request that parses its JSON strictly, for every caller."""

    def get_json(self, force: bool = False, silent: bool = False, cache: bool = True) -> Any:
        """Return the body, a JSON object; {} if there is none.

        Raises BadRequest (malformed), UnsupportedMediaType or InvalidInput. *silent* is
        ignored, because flask-openapi3 would take an unreadable body for None.
        """
        if "_jobs_json" not in self.__dict__:
            self.__dict__["_jobs_json"] = _read(self)
        return self.__dict__["_jobs_json"]


def _read(request: Request) -> dict[str, Any]:
    data = request.get_data()
    # For a chunked body, werkzeug reads up to the limit and ignores the rest without an error.
    if len(data) == request.max_content_length and request.stream.read(1):
        raise RequestEntityTooLarge
    if not data:
        return {}
    if request.mimetype not in MEDIA_TYPES:
        raise problems.UnsupportedMediaType(
            "Send the body as JSON, with the header Content-Type: application/json."
        )
    document = parse(data)
    if not isinstance(document, dict):
        detail = f"The body must be a JSON object, not {kind_of(document)}."
        raise InvalidInput(detail, errors=[FieldError("", "wrong_type", detail)])
    refuse_unstorable(document)
    return document


def refuse_unstorable(document: Mapping[str, Any]) -> None:
    """Raise InvalidInput if *document* holds what a database cannot store, or is too large."""
    faults = _faults(document, (), 1)
    errors = [
        FieldError(json_pointer(place), code, detail)
        for place, code, detail in islice(faults, MAX_ERRORS)
    ]
    refuse(errors, count=len(errors) + sum(1 for _ in faults))
    refuse_large_kwargs(document.get("kwargs"))


def refuse_large_kwargs(kwargs: object) -> None:
    """Raise InvalidInput if the *kwargs* of a job or a run are too large."""
    if len(json.dumps(kwargs)) > MOST_KWARGS_BYTES:
        detail = f"The kwargs must be at most {MOST_KWARGS_BYTES} bytes of JSON."
        refuse([FieldError("/kwargs", "too_large", detail)])


def parse(data: bytes) -> Any:
    """Parse *data* as JSON (RFC 8259: no NaN, no duplicate names); raises BadRequest."""
    try:
        return json.loads(
            data.decode("utf-8"), parse_constant=_refuse_constant, object_pairs_hook=_object
        )
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise BadRequest(
            f"The body is not valid JSON: {error.msg} at {where}.", code="malformed_json"
        ) from error
    except (UnicodeDecodeError, ValueError) as error:
        raise BadRequest(
            "The body is not valid JSON in UTF-8, or has a number with thousands of digits.",
            code="malformed_json",
        ) from error
    except RecursionError as error:
        raise BadRequest("The body is nested too deeply.", code="malformed_json") from error


def _refuse_constant(name: str) -> NoReturn:
    raise BadRequest(
        f"The body is not valid JSON: {name} is not a JSON number.", code="malformed_json"
    )


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) < len(pairs):
        raise BadRequest("An object in the body has a name twice.", code="malformed_json")
    return document


def _faults(value: Any, place: Place, depth: int) -> Iterator[tuple[Place, str, str]]:
    """Yield a place, a code and a sentence for each value that a database cannot store."""
    if depth > MOST_DEPTH:
        yield place, "too_deep", f"This is nested deeper than {MOST_DEPTH} levels."
    elif isinstance(value, str):
        yield from _text_faults(value, place)
    elif (isinstance(value, int) and abs(value) > MOST_NUMBER) or (
        isinstance(value, float) and not math.isfinite(value)
    ):
        yield place, "out_of_range", "The number is too large."
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _faults(item, (*place, index), depth + 1)
    elif isinstance(value, dict):
        for name, item in value.items():
            name_faults = list(_text_faults(name, place))
            yield from name_faults
            if not name_faults:
                yield from _faults(item, (*place, name), depth + 1)


def _text_faults(text: str, place: Place) -> Iterator[tuple[Place, str, str]]:
    if "\x00" in text:
        yield place, "bad_text", "Text cannot hold the character U+0000."
    elif any("\ud800" <= char <= "\udfff" for char in text):
        yield place, "bad_text", "Text cannot hold half of a surrogate pair."


# ---- pydantic's errors as sentences ----


def on_invalid(error: ValidationError) -> Response:
    """Answer 422 with a pointer, a code and a sentence for each of the first broken fields."""
    model = Input.named(error.title)
    named = _first_faults(error)
    errors = [_field(fault, model) for fault in named]
    fields = [{"pointer": e.pointer, "code": e.code, "detail": e.detail} for e in errors]
    if model is not None and model.source == "address":
        fields = [
            {"parameter": _name_at(fault.place[:1]), **field, "pointer": ""}
            for fault, field in zip(named, fields, strict=True)
        ]
    return problems.problem(
        422,
        code=InvalidInput.code,
        title=InvalidInput.title,
        detail=_detail(error, errors),
        fields=fields,
    )


def raise_invalid(error: ValidationError) -> NoReturn:
    """Raise InvalidInput for *error*, from the check of a merged document."""
    model = Input.named(error.title)
    errors = [_field(fault, model) for fault in _first_faults(error)]
    raise InvalidInput(_detail(error, errors), errors=errors) from error


def _first_faults(error: ValidationError) -> list[Fault]:
    return list(islice(faults(error, _place), MAX_ERRORS))


def _detail(error: ValidationError, errors: Sequence[FieldError]) -> str:
    more = more_errors(True, count_faults(error, _place))
    return " ".join([*(e.detail for e in errors), *more])


def _name_at(place: Place) -> str:
    """Return the name of the field at *place*, cut if it is long; "" for the whole."""
    return shortened(str(place[-1]), MOST_NAME) if place else ""


def _place(loc: Place) -> Place:
    # `loc` also holds the names of union branches and of dictionary keys; no request has those.
    return tuple(step for step in loc if not str(step).startswith(("function-", "[key]")))


def _field(fault: Fault, model: type[Input] | None) -> FieldError:
    code, detail = fault.code, f"{_subject(fault)} {fault.text}"
    if fault.code == "extra_forbidden":
        code, detail = _unknown(str(fault.place[-1]), _model_at(model, fault.place[:-1]))
    missing = fault.name if code == "missing" else None
    return FieldError(json_pointer(fault.place), code, detail, missing)


def _subject(fault: Fault) -> str:
    """Return what the sentence of *fault* begins with: the field, or the list it is an entry of."""
    if not fault.place:
        return "The body"
    if isinstance(fault.place[-1], str):
        return repr(_name_at(fault.place))
    field = next((step for step in reversed(fault.place) if isinstance(step, str)), None)
    return "An entry" if field is None else f"An entry of {shortened(field, MOST_NAME)!r}"


def _model_at(model: type[Input] | None, path: Place) -> type[Input] | None:
    """Return the model of the object at *path*, None if no model describes it."""
    for step in path:
        if model is None:
            return None
        field = next((f for name, f in model.model_fields.items() if step in (f.alias, name)), None)
        if field is None:
            return None
        candidates = [field.annotation, *get_args(field.annotation)]
        model = next((c for c in candidates if isinstance(c, type) and issubclass(c, Input)), None)
    return model


def _unknown(name: str, model: type[Input] | None) -> tuple[str, str]:
    short_name = shortened(name, MOST_NAME)
    if model is None:
        return "unknown_field", f"There is no field {short_name!r}."
    if name in model.read_only:
        return (
            "read_only",
            f"{name!r} is written by the server only. {model.read_only[name]}".strip(),
        )
    kind = "parameter" if model.source == "address" else "field"
    hint = did_you_mean(name, model.names())
    return f"unknown_{kind}", f"There is no {kind} {short_name!r}.{hint}"
