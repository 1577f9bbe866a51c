"""The values of a YAML text by the rules of YAML 1.2, within limits that hold for any text.

PyYAML parses the text into events, one after the other. The values are made from the events
here: PyYAML's own composer is recursive without a limit, and ends the process.
"""

import math
import re
from collections.abc import Callable
from typing import Any, NoReturn

import yaml
from yaml.events import (
    AliasEvent,
    CollectionStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    NodeEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
    StreamEndEvent,
)

try:
    from yaml import CSafeLoader as SafeLoader
except ImportError:  # PyYAML built without libyaml: the same, ten times slower
    # The C class has the same interface.
    from yaml import SafeLoader  # type: ignore[assignment]

#: Most characters in a text.
MOST_CHARACTERS = 10_000_000

#: Most values in a text, with its anchors expanded: a small text can expand to very many.
MOST_VALUES = 400_000

#: The deepest nesting of lists and mappings.
MOST_DEPTH = 40

#: Most lines that may be directives. libyaml compares each %TAG line with all others.
MOST_DIRECTIVES = 20

#: Longer words of the text are cut in a message, characters.
MOST_QUOTED = 60

_DIRECTIVE = re.compile(r"^%", re.MULTILINE)
_PREFIX = "tag:yaml.org,2002:"
_TOO_MUCH = "The file is nested too deeply or holds too much."


class Unreadable(Exception):
    """A text that cannot be read as jobs; the message is for the person who wrote it."""


def _finite(text: str) -> float:
    number = float(text)
    return number if math.isfinite(number) else _refuse_number()


def _refuse_number() -> NoReturn:
    raise ValueError("the number is too large")


#: The kinds of plain words that are no text: YAML 1.2, so `on`, 012, 1:30 and dates are text.
_KINDS: dict[str, tuple[re.Pattern[str], Callable[[str], Any]]] = {
    "null": (re.compile(r"(?:~|null|Null|NULL|)"), lambda text: None),
    "bool": (
        re.compile(r"(?:true|True|TRUE|false|False|FALSE)"),
        lambda text: text.lower() == "true",
    ),
    "int": (re.compile(r"[-+]?(?:0|[1-9][0-9]*)"), int),
    "float": (
        re.compile(r"[-+]?(?:[0-9]+\.[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?"),
        _finite,
    ),
}

#: No other plain word begins with one of these.
_FIRST = frozenset("~nNtTfF-+0123456789.")


def read_values(text: str) -> object:
    """Return the one document in *text*, made of JSON's values; None for an empty text.

    Raises Unreadable.
    """
    if len(text) > MOST_CHARACTERS:
        raise Unreadable(f"The file is larger than {MOST_CHARACTERS:,} characters.")
    if sum(1 for _ in _DIRECTIVE.finditer(text)) > MOST_DIRECTIVES:
        raise Unreadable(f"This is not YAML: more than {MOST_DIRECTIVES} lines begin with %.")
    try:
        document = _Reader(text).document()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise Unreadable(f"This is not YAML: {error.problem}{where}.") from error
    except yaml.YAMLError as error:
        raise Unreadable(f"This is not YAML: {error}.") from error
    except UnicodeEncodeError as error:
        raise Unreadable("This is not YAML: it holds half of a surrogate pair.") from error
    _measure(document, 1, 0)
    return document


def quoted(text: str) -> str:
    """Return *text* in quotes for a message; a long one is cut."""
    return repr(text if len(text) <= MOST_QUOTED else text[:MOST_QUOTED] + "…")


class _Reader:
    """Makes values from the events of one text."""

    def __init__(self, text: str) -> None:
        self._events = yaml.parse(text, Loader=SafeLoader)
        self._anchors: dict[str, object] = {}
        # The anchors whose values are being read.
        self._open: set[str] = set()
        self._counted = 0

    def document(self) -> object:
        """Return the only document."""
        next(self._events)
        if isinstance(next(self._events), StreamEndEvent):
            return None
        value = self._value(next(self._events), 1)
        next(self._events)
        event = next(self._events)
        if not isinstance(event, StreamEndEvent):
            raise Unreadable(f"This is not YAML: a second document begins{_at(event)}.")
        return value

    def _value(self, event: Event, depth: int) -> object:
        self._count(1)
        if depth > MOST_DEPTH:
            raise Unreadable(_TOO_MUCH)
        if isinstance(event, AliasEvent):
            return self._of_alias(event)
        anchor = event.anchor if isinstance(event, NodeEvent) else None
        if anchor is None:
            return self._new_value(event, depth)
        self._open.add(anchor)
        self._anchors[anchor] = self._new_value(event, depth)
        self._open.discard(anchor)
        return self._anchors[anchor]

    def _new_value(self, event: Event, depth: int) -> object:
        if isinstance(event, ScalarEvent):
            return _scalar(event)
        if isinstance(event, SequenceStartEvent):
            _check_tag(event, "seq")
            return self._list(depth)
        if isinstance(event, MappingStartEvent):
            _check_tag(event, "map")
            return self._mapping(depth)
        raise Unreadable(f"This is not YAML{_at(event)}.")

    def _count(self, number: int) -> None:
        self._counted += number
        if self._counted > MOST_VALUES:
            raise Unreadable(_TOO_MUCH)

    def _of_alias(self, event: AliasEvent) -> object:
        anchor = str(event.anchor)
        if anchor in self._open:
            raise Unreadable(f"The value of the anchor {quoted(anchor)} contains itself.")
        if anchor not in self._anchors:
            raise Unreadable(f"There is no anchor {quoted(anchor)}{_at(event)}.")
        return self._anchors[anchor]

    def _list(self, depth: int) -> list[object]:
        items = []
        while not isinstance(event := next(self._events), SequenceEndEvent):
            items.append(self._value(event, depth + 1))
        return items

    def _mapping(self, depth: int) -> dict[str, object]:
        merged: dict[str, object] = {}
        mapping: dict[str, object] = {}
        merges = 0
        while not isinstance(key := next(self._events), MappingEndEvent):
            name = self._name(key)
            is_merge = isinstance(key, ScalarEvent) and key.implicit[0] and name == "<<"
            if name in mapping or (is_merge and merges):
                raise Unreadable(f"{quoted(name)} is given twice{_at(key)}.")
            value = self._value(next(self._events), depth + 1)
            if is_merge:
                merges += 1
                merged = self._merged(value, key)
            else:
                mapping[name] = value
        return merged | mapping

    def _name(self, event: Event) -> str:
        name = self._value(event, 1) if isinstance(event, ScalarEvent | AliasEvent) else None
        if not isinstance(name, str):
            raise Unreadable(f"The names of fields must be text{_at(event)}: put it in quotes.")
        return name

    def _merged(self, value: object, key: Event) -> dict[str, object]:
        """Return the mappings that `<<` names as one; of two values, the first counts."""
        result: dict[str, object] = {}
        for mapping in reversed(value if isinstance(value, list) else [value]):
            if not isinstance(mapping, dict):
                raise Unreadable(f"<< takes a mapping, or a list of mappings{_at(key)}.")
            self._count(len(mapping))
            result |= mapping
        return result


def _scalar(event: ScalarEvent) -> object:
    """Return the value of a word: of its tag, or for a plain word of the kind it looks like."""
    text: str = event.value
    tag = event.tag
    if tag is None or tag == "!":
        if tag is not None or not event.implicit[0] or (text and text[0] not in _FIRST):
            return text
        kind = next((k for k, (p, _) in _KINDS.items() if p.fullmatch(text)), "str")
    else:
        kind = tag.removeprefix(_PREFIX) if tag.startswith(_PREFIX) else ""
    if kind == "str":
        return text
    if kind not in _KINDS:
        _refuse_tag(str(tag), event)
    pattern, convert = _KINDS[kind]
    try:
        # A whole number may be typed as a float.
        if not pattern.fullmatch(text) and (kind, text.lstrip("+-").isdecimal()) != ("float", True):
            raise ValueError(f"{quoted(text)} is no {kind}")
        return convert(text)
    except ValueError as error:
        reason = "the number has thousands of digits" if len(text) > 4000 else error
        raise Unreadable(f"A value cannot be read{_at(event)}: {reason}.") from error


def _check_tag(event: CollectionStartEvent, kind: str) -> None:
    if event.tag not in (None, "!", _PREFIX + kind):
        _refuse_tag(str(event.tag), event)


def _refuse_tag(tag: str, event: Event) -> NoReturn:
    raise Unreadable(f"The tag {quoted(tag)}{_at(event)} is none that a job can have.")


def _at(event: Event) -> str:
    mark = event.start_mark
    return f" (line {mark.line + 1})" if mark else ""


def _measure(value: object, depth: int, counted: int) -> int:
    """Count the values in *value* on top of *counted*, and raise Unreadable for too many.

    Anchors make it larger and deeper than the text.
    """
    counted += 1
    if depth > MOST_DEPTH or counted > MOST_VALUES:
        raise Unreadable(_TOO_MUCH)
    if isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            counted = _measure(item, depth + 1, counted)
    return counted
