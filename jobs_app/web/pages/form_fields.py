"""Fields of a form: what a person sees of a value, and how its texts are read. Pure, no IO."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jobs_app.web.pages.form_values import (
    AS,
    BLANK,
    TICK,
    UNIT,
    UNITS,
    UNSET,
    WAS,
    ZONE,
    Blank,
    Kind,
    Unset,
    Values,
    duration_from,
    duration_texts,
    from_json_text,
    instant_from,
    instant_texts,
    is_date,
    is_instant,
    is_number,
    json_text,
    number_from,
    utc_text,
)


@dataclass(frozen=True, slots=True)
class Choice:
    """A value of a list; `text` is the value as JSON."""

    text: str
    label: str


@dataclass(frozen=True, slots=True)
class ControlSpec:
    """A field of a form: the name of its control is the JSON Pointer of its value.

    `kinds` are those that a person may choose between; the first one is preferred. `item` is
    the kind of the items of a list. `default` says in words what a blank text stands for,
    `expects` what JSON it takes. `suggestions` is the id of a list of texts in the page. With
    `takes_booleans` the texts true and false are no strings.
    """

    name: str
    label: str
    kinds: tuple[Kind, ...]
    help: str = ""
    choices: tuple[Choice, ...] = ()
    blanks: tuple[Blank, ...] = (Blank.UNSET,)
    item: Kind | None = None
    is_required: bool = False
    default: str = ""
    expects: str = ""
    null_label: str = "null"
    has_null_default: bool = False
    takes_booleans: bool = False
    suggestions: str = ""

    @property
    def kind(self) -> Kind:
        """The preferred kind."""
        return self.kinds[0]


@dataclass(frozen=True, slots=True)
class Field:
    """A field with its texts and its errors, for a template."""

    spec: ControlSpec
    values: Values
    errors: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The name of its control."""
        return self.spec.name

    @property
    def id(self) -> str:
        """The id of its control in the page."""
        return field_id(self.spec.name)

    @property
    def text(self) -> str:
        """The text in its control."""
        return self.values.get(self.spec.name, "")

    @property
    def kind(self) -> Kind:
        """The kind that its text is read as."""
        return kind_in(self.spec, self.values)

    @property
    def blank(self) -> str:
        """The meaning of a blank text."""
        return self.values.get(BLANK + self.spec.name, Blank.UNSET)

    @property
    def offered_blanks(self) -> list[Blank]:
        """The meanings of a blank text that a person may choose; [] if there is no choice.

        Null is not offered where a field that is left out is null, unless it is chosen.
        """
        is_plain = self.spec.has_null_default and self.blank != Blank.NULL
        blanks = [one for one in self.spec.blanks if one is not Blank.NULL or not is_plain]
        return blanks if len(blanks) > 1 else []

    @property
    def zone(self) -> str:
        """The zone of an instant."""
        return self.values.get(ZONE + self.spec.name, "")

    @property
    def unit(self) -> str:
        """The unit of a duration."""
        return self.values.get(UNIT + self.spec.name, "s")

    @property
    def was(self) -> str:
        """The value that the form was made with."""
        return self.values.get(WAS + self.spec.name, "")

    @property
    def utc(self) -> str:
        """The instant in UTC."""
        return utc_text(self.text, self.zone)

    @property
    def units(self) -> list[str]:
        """The units of a duration, the shortest first."""
        return list(UNITS)[::-1]


def field_id(pointer: str) -> str:
    """Return the id of the control with the name *pointer*: an id has no spaces."""
    return "f" + "".join(char if char.isalnum() else f"_{ord(char):x}_" for char in pointer)


def kind_in(spec: ControlSpec, values: Values) -> Kind:
    """Return the kind that *values* name for a field; another kind than its own is JSON or text."""
    name = values.get(AS + spec.name)
    return Kind(name) if name in {*spec.kinds, Kind.JSON, Kind.TEXT} else spec.kind


# ---- a value as texts ----


def texts_of(spec: ControlSpec, value: Any, *, zone: str) -> dict[str, str]:
    """Return the texts that stand for *value* (UNSET: it is left out) in the controls of a field.

    An instant is shown in *zone*. A value that no kind of the field can show is JSON.
    """
    blank = _blank_of(spec, value)
    if blank is not None and (blank is Blank.UNSET or blank in spec.blanks):
        other = {ZONE + spec.name: zone} if spec.kind is Kind.INSTANT else {}
        return {spec.name: "", BLANK + spec.name: blank} | other
    kind = _kind_for(spec, value)
    texts = {spec.name: _text_of(kind, value)}
    if kind is Kind.DURATION:
        texts[spec.name], texts[UNIT + spec.name] = duration_texts(value)
    if kind is Kind.INSTANT:
        texts[spec.name], texts[ZONE + spec.name] = instant_texts(value, zone)
        texts[WAS + spec.name] = value
    return texts | ({} if kind is spec.kind else {AS + spec.name: kind})


def _blank_of(spec: ControlSpec, value: Any) -> Blank | None:
    if isinstance(value, Unset):
        return Blank.UNSET
    if value is None:
        return Blank.NULL
    return Blank.EMPTY if value == _empty(spec) else None


def _empty(spec: ControlSpec) -> Any:
    return [] if spec.kind in (Kind.LIST, Kind.WORDS) else ""


def _kind_for(spec: ControlSpec, value: Any) -> Kind:
    kinds = [*spec.kinds, *([Kind.TEXT] if Kind.STRING in spec.kinds else [])]
    return next((kind for kind in kinds if _fits(kind, spec, value)), Kind.JSON)


def _fits(kind: Kind, spec: ControlSpec, value: Any) -> bool:
    """Tell whether a control of *kind* shows *value* exactly."""
    match kind:
        case Kind.STRING:
            return _is_line(spec, value)
        case Kind.TEXT:
            return isinstance(value, str) and value != "" and "\r" not in value
        case Kind.INTEGER:
            return isinstance(value, int) and not isinstance(value, bool)
        case Kind.NUMBER:
            return is_number(value)
        case Kind.DURATION:
            return is_number(value) and value >= 0
        case Kind.BOOLEAN:
            return isinstance(value, bool)
        case Kind.ENUM:
            return json.dumps(value) in {choice.text for choice in spec.choices}
        case Kind.DATE:
            return is_date(value)
        case Kind.INSTANT:
            return is_instant(value)
        case Kind.LIST | Kind.WORDS:
            return isinstance(value, list) and all(_fits_line(kind, spec, item) for item in value)
        case _:
            return kind is Kind.JSON


def _is_line(spec: ControlSpec, value: Any) -> bool:
    if isinstance(value, bool):
        return spec.takes_booleans
    is_other = spec.takes_booleans and value in _BOOLEANS
    is_text = isinstance(value, str) and value != "" and not is_other
    return is_text and not {"\n", "\r"} & set(value)


def _fits_line(kind: Kind, spec: ControlSpec, item: Any) -> bool:
    if kind is Kind.WORDS:
        return isinstance(item, str) and item.replace(",", " ").split() == [item]
    if spec.item is Kind.STRING:
        return isinstance(item, str) and item.strip() == item and item.splitlines() == [item]
    return spec.item is not None and _fits(spec.item, spec, item)


def _text_of(kind: Kind, value: Any) -> str:
    match kind:
        case Kind.STRING | Kind.TEXT | Kind.DATE | Kind.INSTANT:
            return value if isinstance(value, str) else json.dumps(value)
        case Kind.LIST:
            return "\n".join(item if isinstance(item, str) else json.dumps(item) for item in value)
        case Kind.WORDS:
            return ", ".join(value)
        case Kind.BOOLEAN | Kind.ENUM | Kind.INTEGER | Kind.NUMBER | Kind.DURATION:
            return json.dumps(value)
        case _:
            return json_text(value)


# ---- texts as a value ----


def value_of(spec: ControlSpec, values: Values) -> Any:
    """Return the value of a field's texts, UNSET if it is left out.

    A text that its kind cannot be is returned as it is: the server says what is wrong with
    it. Raises form_values.Unreadable where it stands for no value at all.
    """
    text = values.get(spec.name, "").replace("\r\n", "\n")
    kind = kind_in(spec, values)
    if text == "" or (kind not in (Kind.STRING, Kind.TEXT) and not text.strip()):
        return _blank_value(spec, values)
    match kind:
        case Kind.INTEGER | Kind.NUMBER:
            return number_from(text)
        case Kind.DURATION:
            return duration_from(text, values.get(UNIT + spec.name, "s"))
        case Kind.BOOLEAN:
            return _BOOLEANS.get(text, text)
        case Kind.ENUM:
            return json.loads(text) if text in {c.text for c in spec.choices} else text
        case Kind.INSTANT:
            zone, was = values.get(ZONE + spec.name, ""), values.get(WAS + spec.name, "")
            return instant_from(text, zone, was)
        case Kind.LIST:
            lines = [line.strip() for line in text.splitlines() if line.strip()]
            return lines if spec.item is Kind.STRING else [number_from(line) for line in lines]
        case Kind.WORDS:
            return text.replace(",", " ").split()
        case Kind.JSON | Kind.NULL:
            return from_json_text(text)
        case _:
            return _BOOLEANS.get(text, text) if spec.takes_booleans else text


_BOOLEANS = {"true": True, "false": False}


def _blank_value(spec: ControlSpec, values: Values) -> Any:
    blank = values.get(BLANK + spec.name, Blank.UNSET)
    if blank == Blank.NULL:
        return None
    if blank == Blank.EMPTY:
        return _empty(spec)
    return UNSET


def ticked(values: Values, pointer: str, names: Sequence[str]) -> list[str]:
    """Return those of *names* that are ticked below *pointer*."""
    return [name for name in names if f"{TICK}{pointer}/{name}" in values]


def ordered_ticks(values: Values, pointer: str, names: Sequence[str]) -> list[str]:
    """Return the ticked names, in the order that they had before."""
    chosen = ticked(values, pointer, names)
    try:
        before = json.loads(values.get(WAS + pointer, "[]"))
    except ValueError:
        before = []
    known = [name for name in before if name in chosen] if isinstance(before, list) else []
    return [*known, *(name for name in chosen if name not in known)]


def tick_texts(pointer: str, names: Sequence[str]) -> dict[str, str]:
    """Return the texts of the ticks of *names* below *pointer*."""
    return {f"{TICK}{pointer}/{name}": "on" for name in names}


def bound(
    specs: Sequence[ControlSpec], values: Values, errors: Mapping[str, Sequence[str]] | None = None
) -> list[Field]:
    """Return the fields of *specs* with their texts in *values* and their *errors* by name."""
    return [Field(spec, values, tuple((errors or {}).get(spec.name, ()))) for spec in specs]
