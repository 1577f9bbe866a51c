"""What a JSON Schema says, in few words."""

import json
import shlex

from jobs_app.cli.client import Json

TYPES = {
    "string": "text",
    "integer": "whole number",
    "number": "number",
    "boolean": "true or false",
    "object": "object",
    "null": "null",
}
FORMATS = {"date-time": "instant", "date": "date", "time": "time", "uuid": "UUID", "path": "path"}

#: Choices that are spelt out; more of them would fill a screen.
MOST_CHOICES = 8

#: How deep types in types are told.
MOST_DEPTH = 3


def type_text(said: Json, schema: Json, *, depth: int = 0) -> str:
    """Return the type that *said*, a part of *schema*, asks for: "list of text"."""
    if "$ref" in said:
        name = said["$ref"].rpartition("/")[2]
        said = {**schema.get("$defs", {}).get(name, {}), **said, "title": name}
        if "enum" not in said:
            return str(name)
    if "const" in said:
        return json.dumps(said["const"])
    if "enum" in said:
        choices = [json.dumps(each, ensure_ascii=False) for each in said["enum"]]
        return " | ".join(choices[:MOST_CHOICES] + ["…"] * (len(choices) > MOST_CHOICES))
    branches = [each for each in said.get("anyOf", []) if each.get("type") != "null"]
    if branches:
        texts = (type_text(each, schema, depth=depth) for each in branches)
        return " or ".join(dict.fromkeys(texts))
    kind = said.get("type")
    if kind == "array":
        items = said.get("items")
        deeper = type_text(items, schema, depth=depth + 1) if items and depth < MOST_DEPTH else ""
        return f"list of {deeper}" if deeper else "list"
    if kind == "string":
        return FORMATS.get(said.get("format", ""), "text")
    return TYPES.get(str(kind), "anything")


def sample_of(schema: Json) -> str:
    """Return the options of a job that gives what *schema* requires, as they are typed."""
    examples = (schema.get("examples") or [{}])[0]
    options = []
    for name in schema.get("required", []):
        value = examples.get(name, "…")
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        options.append(f" --arg {name}={text if text == '…' else shlex.quote(text)}")
    return "".join(options)
