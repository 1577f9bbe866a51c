"""One document as YAML: written in full, and the line of each value in it."""

from dataclasses import dataclass
from typing import Any

import yaml
from yaml.events import (
    Event,
    MappingEndEvent,
    MappingStartEvent,
    NodeEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)
from yaml.nodes import ScalarNode

from jobs_app.core.validation_messages import escaped

try:
    from yaml import CSafeDumper as SafeDumper
    from yaml import CSafeLoader as SafeLoader
except ImportError:  # PyYAML built without libyaml: the same, ten times slower
    # The C classes have the same interface.
    from yaml import SafeDumper, SafeLoader  # type: ignore[assignment]


class _Dumper(SafeDumper):
    """Writes text of several lines as such, and everything in full."""

    def ignore_aliases(self, data: object) -> bool:
        return True


def _represent_text(dumper: SafeDumper, text: str) -> ScalarNode:
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _represent_text)


def write(document: Any, *, allow_unicode: bool = True) -> str:
    """Return YAML that `yaml_values.read_values` reads back the same."""
    text: str = yaml.dump(
        document, Dumper=_Dumper, sort_keys=False, allow_unicode=allow_unicode, width=100
    )
    return text


@dataclass(slots=True)
class _Collection:
    """A list or a mapping whose end has not come yet. `name` is that of the next value."""

    pointer: str
    is_mapping: bool
    count: int = 0
    name: str | None = None

    def next(self, event: Event) -> tuple[str, bool]:
        """Return the pointer of the value that *event* begins, and whether it is its name."""
        if not self.is_mapping:
            self.count += 1
            return f"{self.pointer}/{self.count - 1}", False
        is_name = self.name is None
        if self.name is None:
            self.name = escaped(str(getattr(event, "value", "")))
        pointer = f"{self.pointer}/{self.name}"
        if not is_name:
            self.name = None
        return pointer, is_name


def lines_of(text: str) -> dict[str, int]:
    """Return the line of each value in *text* by its JSON Pointer; the first line is 1.

    *text* is one that `yaml_values.read_values` has read. Values that an alias or `<<` brings
    are not in it.
    """
    lines: dict[str, int] = {}
    stack: list[_Collection] = []
    for event in yaml.parse(text, Loader=SafeLoader):
        if isinstance(event, MappingEndEvent | SequenceEndEvent):
            stack.pop()
        elif isinstance(event, NodeEvent):
            pointer, is_name = stack[-1].next(event) if stack else ("", False)
            # The line of a name counts: its value may begin on the next one.
            lines.setdefault(pointer, event.start_mark.line + 1 if event.start_mark else 1)
            if isinstance(event, MappingStartEvent | SequenceStartEvent) and not is_name:
                stack.append(_Collection(pointer, isinstance(event, MappingStartEvent)))
    return lines
