"""Jobs as YAML: read by the rules of YAML 1.2, within limits; written to be read back the same."""

import re
from collections.abc import Hashable
from typing import Any

import yaml
from yaml.nodes import MappingNode, ScalarNode

from jobs_app.cli.client import Json
from jobs_app.cli.output import UNSAFE_IN_JSON

try:
    from yaml import CSafeDumper as SafeDumper
    from yaml import CSafeLoader as SafeLoader
except ImportError:  # PyYAML built without libyaml: the same, ten times slower
    # The C classes have the same interface.
    from yaml import SafeDumper, SafeLoader  # type: ignore[assignment]

#: Most characters in a file.
MOST_CHARACTERS = 10_000_000

#: Most values in a file, with its anchors expanded: a small file can expand to very many.
MOST_VALUES = 1_000_000

MOST_DEPTH = 40

_MERGE = "tag:yaml.org,2002:merge"


class Unreadable(Exception):
    """A text that cannot be read as jobs; the message is for the person who wrote it."""


class _Loader(SafeLoader):
    """Reads plain words as YAML 1.2 does: `on` is a word, 012 and 1:30 and dates are text."""

    # Replaced, not extended: the inherited ones are those of YAML 1.1.
    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}

    def flatten_mapping(self, node: MappingNode) -> None:
        super().flatten_mapping(node)
        # Merged lists of merged lists grow as powers of two.
        if len(node.value) > MOST_VALUES // 100:
            raise Unreadable("A mapping merges too many others.")

    def construct_mapping(self, node: MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        names = set()
        for key, _ in node.value:
            where = f"line {key.start_mark.line + 1}"
            if not isinstance(key, ScalarNode) or key.tag not in (_MERGE, "tag:yaml.org,2002:str"):
                raise Unreadable(f"The names of fields must be text ({where}): put it in quotes.")
            if key.value in names:
                raise Unreadable(f"{key.value!r} is given twice ({where}).")
            names.add(key.value)
        return super().construct_mapping(node, deep=deep)


for _tag, _pattern, _first in (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?(?:0|[1-9][0-9]*)", list("-+0123456789")),
    ("float", r"[-+]?(?:[0-9]+\.[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?", list("-+0123456789.")),
    ("merge", r"<<", ["<"]),
):
    _Loader.add_implicit_resolver(
        f"tag:yaml.org,2002:{_tag}", re.compile(f"^(?:{_pattern})$"), _first
    )


class _Dumper(SafeDumper):
    """Writes text of several lines as such, and everything in full."""

    def ignore_aliases(self, data: object) -> bool:
        return True


def _represent_text(dumper: SafeDumper, text: str) -> ScalarNode:
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _represent_text)


def read_jobs(text: str) -> list[Json]:
    """Return the jobs in *text*: a list of them, a mapping of them by name, or one alone.

    Raises Unreadable.
    """
    if len(text) > MOST_CHARACTERS:
        raise Unreadable(f"The file is larger than {MOST_CHARACTERS:,} characters.")
    try:
        document = _Loader(text).get_single_data()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise Unreadable(f"This is not YAML: {error.problem}{where}.") from error
    except (yaml.YAMLError, RecursionError) as error:
        raise Unreadable(f"This is not YAML: {error}.") from error
    except ValueError as error:
        # A number of thousands of digits.
        raise Unreadable(f"A value cannot be read: {error}.") from error
    _measure(document, 1, 0)
    return _named(document)


def write_jobs(jobs: list[Json]) -> str:
    """Return YAML that `read_jobs` reads back the same, harmless on any terminal."""
    text = _dump(jobs, allow_unicode=True)
    return _dump(jobs, allow_unicode=False) if UNSAFE_IN_JSON.search(text) else text


def _dump(jobs: list[Json], *, allow_unicode: bool) -> str:
    text: str = yaml.dump(
        jobs, Dumper=_Dumper, sort_keys=False, allow_unicode=allow_unicode, width=100
    )
    return text


def _measure(value: object, depth: int, counted: int) -> int:
    """Count the values in *value* on top of *counted*; raise Unreadable for what is no JSON."""
    counted += 1
    if depth > MOST_DEPTH or counted > MOST_VALUES:
        raise Unreadable("The file is nested too deeply or holds too much.")
    if isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            counted = _measure(item, depth + 1, counted)
    elif value is not None and not isinstance(value, str | int | float | bool):
        raise Unreadable(f"A value is of the kind {type(value).__name__}, which no field takes.")
    return counted


def _named(document: object) -> list[Json]:
    """Return the jobs of a document, each with its name."""
    if isinstance(document, dict) and isinstance(document.get("task"), str):
        document = [document]
    if isinstance(document, dict):
        document = [_with_name(str(name), job) for name, job in document.items()]
    if not isinstance(document, list) or not document:
        raise Unreadable("There are no jobs: a list of jobs, or a mapping of jobs by name, is.")
    names = set()
    for number, job in enumerate(document, 1):
        if not isinstance(job, dict) or not isinstance(job.get("name"), str):
            raise Unreadable(f"Entry {number} is not a job with a name.")
        if job["name"] in names:
            raise Unreadable(f"The job {job['name']!r} is there twice.")
        names.add(job["name"])
    return document


def _with_name(name: str, job: object) -> Json:
    if not isinstance(job, dict):
        raise Unreadable(f"{name!r} is not a job: it must be a mapping of its fields.")
    if job.get("name", name) != name:
        raise Unreadable(f"The job {name!r} calls itself {job['name']!r}.")
    return {"name": name, **job}
