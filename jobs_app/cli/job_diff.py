"""The fields in which two definitions of a job differ, as lines of text."""

from jobs_app.cli.client import Json
from jobs_app.cli.format import one_line
from jobs_app.cli.outcome_text import compact
from jobs_app.cli.output import print_text
from jobs_app.cli.schedule_json import without_empty_fields
from jobs_app.core.document_diff import differences
from jobs_app.jobs.document import in_same_field

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
    return [
        change_text(*field)
        for field in differences(*map(without_empty_fields, in_same_field(before, after)))
    ]


def change_text(name: str, before: object, after: object) -> str:
    """Return the line of one field that differs."""
    return f"{name}: {_text(before)} -> {_text(after)}"


def _text(value: object) -> str:
    text = one_line(compact(value) or "none")
    return text if len(text) <= MOST_CHARACTERS else f"{text[:MOST_CHARACTERS]}…"
