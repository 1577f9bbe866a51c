"""Descriptions of arguments, read from the docstring of a task."""

import re

_SECTION = re.compile(r"(?:Args|Arguments|Parameters):")
_ITEM = re.compile(r"\*{0,2}(\w+)\s*(?:\([^)]*\))?:\s*(.*)")
_SPHINX_ITEM = re.compile(r":param\s+(?:[^:]*\s)?(\w+):\s*(.*)")


def descriptions_of(doc: str) -> dict[str, str]:
    """Return the description of each argument in a docstring of Google's or Sphinx's style."""
    descriptions: dict[str, str] = {}
    name: str | None = None  # the argument whose description may continue
    depth = 0
    section: int | None = None  # indent of the items below "Args:", once one is seen
    is_in_section = False
    for line in doc.splitlines():
        text = line.strip()
        indent = len(line) - len(line.lstrip())
        if is_in_section and text and indent == 0:
            is_in_section, name = False, None
        if item := _SPHINX_ITEM.fullmatch(text):
            name, depth = item[1], indent
            descriptions[name] = item[2]
        elif _SECTION.fullmatch(text):
            is_in_section, section, name = True, None, None
        elif is_in_section and section in (None, indent) and (item := _ITEM.fullmatch(text)):
            name, depth, section = item[1], indent, indent
            descriptions[name] = item[2]
        elif name is not None and text and indent > depth:
            descriptions[name] = f"{descriptions[name]} {text}".strip()
        else:
            name = None
    return {name: text for name, text in descriptions.items() if text}
