"""The types of fields that several requests or answers share."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    PlainSerializer,
    Strict,
    WithJsonSchema,
)
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from jobs_app.core.states import CancelMode, JobSort, OverlapPolicy
from jobs_app.core.text import did_you_mean, rfc3339
from jobs_app.runs.id_prefix import IdRange

_RFC3339 = re.compile(
    r"\d{4}-\d{2}-\d{2}[Tt]\d{2}:\d{2}:\d{2}(\.\d{1,9})?([Zz]|[+-]\d{2}:\d{2})", re.ASCII
)

EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
LATEST = datetime(9000, 1, 1, tzinfo=UTC)


def _instant(value: Any) -> datetime:
    """Return an aware UTC datetime for RFC 3339 text."""
    if isinstance(value, datetime):
        return value
    if not isinstance(value, str) or not _RFC3339.fullmatch(value):
        raise PydanticCustomError(
            "not_an_instant",
            "must be an instant with its offset, as in 2026-12-01T09:00:00Z (RFC 3339).",
        )
    try:
        instant = datetime.fromisoformat(value.upper().replace("Z", "+00:00")).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise PydanticCustomError("not_an_instant", "must be an instant that exists.") from error
    if not EARLIEST <= instant < LATEST:
        raise PydanticCustomError("out_of_range", "must lie between the years 1970 and 8999.")
    return instant


def _without_nul(text: str) -> str:
    if "\x00" in text:
        raise PydanticCustomError("bad_text", "cannot hold the character U+0000.")
    return text


#: Search text in an address; NUL is refused here because a database cannot compare with it.
Search = Annotated[str, Field(max_length=200), AfterValidator(_without_nul)]

_WIRE = WithJsonSchema({"type": "string", "format": "date-time"})

#: An instant in a request.
InstantIn = Annotated[datetime, BeforeValidator(_instant), _WIRE]

#: An instant in an answer.
Instant = Annotated[datetime, PlainSerializer(rfc3339, return_type=str), _WIRE]

# JSON has enum values as text, which a strict field would refuse.
CancelModeIn = Annotated[CancelMode, Strict(False)]
JobSortIn = Annotated[JobSort, Strict(False)]
OverlapPolicyIn = Annotated[OverlapPolicy, Strict(False)]


#: How many values of one filter an address may hold.
MOST_VALUES = 50


@dataclass(frozen=True, slots=True)
class AnyOf:
    """Makes a field of a query take one value or several, repeated or with commas.

    All must be among *choices*, which are called *noun*; None takes any text.
    """

    choices: Iterable[str] | None
    noun: str
    description: str
    example: Sequence[str]

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        """Return how a list of texts becomes the values that *source* says."""
        texts = core_schema.list_schema(
            core_schema.str_schema(max_length=200), max_length=MOST_VALUES
        )
        return core_schema.chain_schema(
            [core_schema.no_info_after_validator_function(self._split, texts), handler(source)]
        )

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        """Return a list of texts: a list of the choices would not have several with commas."""
        texts = {"type": "array", "items": {"type": "string"}, "maxItems": MOST_VALUES}
        about = f"{self.description} Several may be named, repeated or with commas between them."
        return {**texts, "description": about, "example": list(self.example)}

    def _split(self, values: list[str]) -> tuple[str, ...]:
        """Return the names in *values*; raises PydanticCustomError if one is no choice."""
        names = [name.strip() for value in values for name in value.split(",") if name.strip()]
        for name in names:
            self._check(name)
        return tuple(dict.fromkeys(names))

    def _check(self, name: str) -> None:
        known = None if self.choices is None else [str(choice) for choice in self.choices]
        if known is None:
            _without_nul(name)
        elif name not in known:
            hint = did_you_mean(name, known) or f" There are: {', '.join(known)}."
            predicate = f"must name {self.noun}; {name[:60]!r} is not one.{hint}"
            raise PydanticCustomError("not_a_choice", "{predicate}", {"predicate": predicate})


Note = Annotated[str, Field(max_length=2000)]


def seconds_between(start: datetime | None, end: datetime | None) -> float | None:
    """Return the seconds from *start* to *end*; None unless both are known."""
    if start is None or end is None:
        return None
    return round((end - start) / timedelta(seconds=1), 6)


def _id_range(value: Any) -> IdRange:
    try:
        return IdRange.read(str(value))
    except ValueError as error:
        raise PydanticCustomError(
            "not_an_id_prefix", "must be the first 8 to 32 hexadecimal digits of an id."
        ) from error


IdPrefixIn = Annotated[
    IdRange,
    BeforeValidator(_id_range),
    WithJsonSchema(
        {
            "type": "string",
            "pattern": "^(-*[0-9A-Fa-f]-*){8,32}$",
            "maxLength": 36,
            "description": "The first digits of the id of a run; hyphens are left out.",
            "example": "0193583e",
        }
    ),
]
