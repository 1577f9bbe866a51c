"""The comments above the lines of a crontab: a description, and in our own export a name too."""

import re
from collections.abc import Sequence

from jobs_app.jobs.document import NAME

#: The first line of a crontab that `crontab_export` has written.
OWN_HEADER = "# Jobs of jobs-app."

#: Why a line of our own export is a comment: the word in front of it.
OBSERVES, PAUSED, ENDED = "observes", "paused", "ended"
_IDLE_LINE = re.compile(rf"# (?:{OBSERVES}|{PAUSED}|{ENDED}): ")

#: The most characters of a description.
MOST_CHARACTERS = 500


def heading(name: str, description: str | None) -> str:
    """Return the comment above the lines of a job in our own crontab."""
    words = " ".join((description or "").split())
    return f"# {name}: {words[:MOST_CHARACTERS]}" if words else f"# {name}"


def idle_line(why: str, line: str) -> str:
    """Return the comment for a *line* whose job runs nothing by itself now."""
    return f"# {why}: {line}"


def read_idle_line(content: str, comment: Sequence[str], *, is_later: bool) -> str | None:
    """Return the line that `idle_line` has made a comment in our own crontab; None if it did not.

    It stands below the comment of its job, or (*is_later*) below another line of that job.
    """
    match = _IDLE_LINE.match(content)
    is_below = is_later or bool(read_comment(comment, is_own=True)[0])
    return content[match.end() :] if match and is_below else None


def read_comment(comment: Sequence[str], *, is_own: bool) -> tuple[str, str]:
    """Return the name and the description that *comment*, right above a line, gives to its job.

    The name is "" if there is none: only `heading` gives one, in our own crontab (*is_own*).
    """
    if is_own and comment:
        name, _, description = comment[0].partition(": ")
        if NAME.fullmatch(name):
            # The next lines say what cron has nothing for.
            return name, description
    return "", _description(comment)


def _description(comment: Sequence[str]) -> str:
    """Return the comment above a line as its description.

    It is "" for a line that is put out of use, the names of the fields, or a drawing of them.
    """
    text = " ".join(comment)
    if not re.match(r"\w", text) or re.search(r"\*|\b(?:dow|wday|mday|dom)\b|day of week", text):
        return ""
    return text[:MOST_CHARACTERS]
