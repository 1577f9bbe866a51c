"""The fields in which two definitions of a job differ, as lines of text."""

from collections.abc import Iterator

from jobs_app.cli.client import Json
from jobs_app.cli.format import one_line
from jobs_app.cli.output import print_text
from jobs_app.cli.run_outcome import compact

#: Longest text of a value in a line, characters.
MOST_CHARACTERS = 200


def print_changes(before: Json, after: Json) -> None:
    """Print a line for each field that differs: `schedule.cron: "@daily" -> "@hourly"`."""
    for line in changed_fields(before, after):
        print_text(f"  {line}")


def changed_fields(before: Json, after: Json) -> list[str]:
    """Return a line for each field that differs, in the order of the names.

    The fields of nested objects have lines of their own. A field that is absent, null or {}
    is `none`.
    """
    old, new = dict(_leaves(before)), dict(_leaves(after))
    return [
        f"{name}: {_text(old.get(name))} -> {_text(new.get(name))}"
        for name in sorted(old.keys() | new.keys())
        if old.get(name) != new.get(name)
    ]


def _leaves(value: object, path: str = "") -> Iterator[tuple[str, object]]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _leaves(inner, f"{path}.{name}" if path else str(name))
    else:
        yield path, value


def _text(value: object) -> str:
    text = one_line(compact(value) or "none")
    return text if len(text) <= MOST_CHARACTERS else f"{text[:MOST_CHARACTERS]}…"
