"""Details of jobs for the audit: arguments are redacted, and bounded in size."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from jobs_app.core.document_diff import is_other
from jobs_app.core.text import counted
from jobs_app.jobs.definition import described
from jobs_app.jobs.document import Definition
from jobs_app.secrets.redaction import MAX_NAME_CHARS, redacted

#: A longer argument, as JSON, is cut to so many characters.
MAX_VALUE_CHARS = 500

#: Characters of all arguments on one side of a change, as ASCII JSON.
MAX_ARGUMENTS_CHARS = 8_000

#: Names in a list of changed arguments.
MAX_CHANGED = 20


def audited(definition: Definition, *, first: Iterable[str] = ()) -> dict[str, Any]:
    """Return *definition* for the audit; the arguments in *first* come first."""
    document = described(definition)
    document["description"] = _cut(document["description"])
    return document | {"kwargs": audited_arguments(definition.kwargs, first=first)}


def changed_detail(before: Definition, after: Definition) -> dict[str, Any]:
    """Return the detail of a change: both definitions, and the names of changed arguments."""
    changed = changed_names(before.kwargs, after.kwargs)
    return {
        "before": audited(before, first=changed),
        "after": audited(after, first=changed),
        "changed_arguments": shortened(changed),
    }


def changed_names(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Return the names of all arguments that differ, sorted; they may be masked in the audit."""
    names = before.keys() | after.keys()
    return sorted(
        name
        for name in names
        # An argument that is null is not one that is left out.
        if (name in before) != (name in after) or is_other(before.get(name), after.get(name))
    )


def shortened(names: Iterable[str]) -> list[str]:
    """Return the first MAX_CHANGED of *names*; a long name is cut."""
    return [name[:MAX_NAME_CHARS] for name in names][:MAX_CHANGED]


def audited_arguments(kwargs: Mapping[str, Any], *, first: Iterable[str] = ()) -> dict[str, Any]:
    """Return *kwargs* with secrets masked; a long value is text that ends with a mark.

    The names in *first* come first. The key "…" says how many arguments had no room.
    """
    masked = redacted(kwargs)
    names = [name for name in dict.fromkeys([*first, *masked]) if name in masked]
    kept: dict[str, Any] = {}
    room = MAX_ARGUMENTS_CHARS
    for index, name in enumerate(names):
        value = _cut(masked[name])
        room -= len(json.dumps({name[:MAX_NAME_CHARS]: value}))
        if room < 0:
            return kept | {"…": f"{len(names) - index} more"}
        kept[name[:MAX_NAME_CHARS]] = value
    return kept


def _cut(value: Any) -> Any:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    if len(text) <= MAX_VALUE_CHARS:
        return value
    return f"{text[:MAX_VALUE_CHARS]}… ({counted(len(text), 'character')})"
