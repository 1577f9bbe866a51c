"""A JSON Schema in a few words."""

import json
import shlex

from jobs_app.cli.client import Json
from jobs_app.core.text import plural

TYPES = {
    "string": "text",
    "integer": "whole number",
    "number": "number",
    "boolean": "true or false",
    "object": "object",
    "null": "null",
}
FORMATS = {"date-time": "instant", "date": "date", "time": "time", "uuid": "UUID", "path": "path"}

#: Types that are no nouns to be counted.
UNCOUNTED = frozenset({"true or false", "null", "anything"})

#: Most choices that are listed; more would fill a screen.
MOST_CHOICES = 8

#: How deep nested types are described.
MOST_DEPTH = 3


def type_text(property_: Json, schema: Json, *, depth: int = 0) -> str:
    """Return the type that *property_*, a property of *schema*, takes: "list of texts".

    The entries of a list, where *depth* is above 0, are in the plural.
    """
    if "$ref" in property_:
        name = property_["$ref"].rpartition("/")[2]
        property_ = {**schema.get("$defs", {}).get(name, {}), **property_, "title": name}
        if property_.get("type") == "object":
            return str(name)
    if "const" in property_:
        return json.dumps(property_["const"])
    if "enum" in property_:
        choices = [json.dumps(choice, ensure_ascii=False) for choice in property_["enum"]]
        return " | ".join(choices[:MOST_CHOICES] + ["…"] * (len(choices) > MOST_CHOICES))
    branches = [branch for branch in property_.get("anyOf", []) if branch.get("type") != "null"]
    if branches:
        texts = (type_text(branch, schema, depth=depth) for branch in branches)
        return " or ".join(dict.fromkeys(texts))
    kind = property_.get("type")
    if kind == "array":
        items = property_.get("items")
        deeper = type_text(items, schema, depth=depth + 1) if items and depth < MOST_DEPTH else ""
        lists = "list" if depth == 0 else "lists"
        return f"{lists} of {deeper}" if deeper else lists
    name = TYPES.get(str(kind), "anything")
    if kind == "string":
        name = FORMATS.get(property_.get("format", ""), name)
    return name if depth == 0 or name in UNCOUNTED else plural(name)


def sample_of(task: str, schema: Json) -> str:
    """Return the options of a job that gives *task* what *schema* requires, as they are typed."""
    examples = (schema.get("examples") or [{}])[0]
    options = [f"--task {shlex.quote(task)}"]
    for name in schema.get("required", []):
        value = examples.get(name, "…")
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        options.append(f"--arg {name}={text if text == '…' else shlex.quote(text)}")
    return " ".join(options)
