"""Sentences about texts that are not five cron fields, as people bring them from elsewhere. Pure.

From a crontab come commands, comments, variables and several lines; from Quartz and AWS
seconds and years.
"""

import re

from jobs_app.core.text import counted

#: The macros, without their `@`.
MACRO_NAMES = ("hourly", "daily", "midnight", "weekly", "monthly", "yearly", "annually")
FIELDS = "minute, hour, day-of-month, month, day-of-week"
_FIVE = 5
_ASSIGNMENT = re.compile(r"(?P<name>[A-Za-z_][A-Za-z0-9_]*)\s*=")
_SEPARATOR = re.compile(r"[;|\r\n]|,\s")
_WORDS = "SUN|MON|TUE|WED|THU|FRI|SAT|JAN|FEB|MAR|APR|MAY|JUN|JUL|AUG|SEP|OCT|NOV|DEC"
#: A word that may be a field; a command of a crontab is none.
_FIELD = re.compile(rf"(?:[0-9*?/,#LWH()-]|{_WORDS})+", re.IGNORECASE)
_YEAR = re.compile(r"[0-9]{4}(?:[,/-][0-9]+)*")
#: What joins the parts of one field.
_JOINTS = ",-/"
_AWS = re.compile(r"(?P<name>cron|rate)\s*\(", re.IGNORECASE)
_COMMAND = "a command is an argument of the task (--command)"


def foreign_form(text: str) -> tuple[str, str] | None:
    """Return the sentence and the code for *text* in a form that other programs read; else None."""
    parts = [part for part in _SEPARATOR.split(text) if part.strip()]
    if len(parts) > 1 and all(_is_expression(part) for part in parts):
        sentence = f"These are {len(parts)} expressions, and a job has one: make a job for each."
        return sentence, "not_supported"
    if assignment := _ASSIGNMENT.match(text):
        return _assigned(assignment["name"]), "not_supported"
    if text.startswith("#"):
        return "The expression begins with #, as a comment does: leave it out.", "syntax"
    if text[0] in "\"'`":
        return "The expression begins with a quotation mark: leave it out.", "syntax"
    if aws := _AWS.match(text):
        hint = f"give five fields: {FIELDS}"
        if aws["name"].lower() == "rate":
            hint = "use an interval (interval_seconds, --every)"
        return f"{aws['name']}(…) is not supported: {hint}.", "not_supported"
    if text.lower() in MACRO_NAMES:
        return f"A macro begins with @: @{text.lower()}.", "syntax"
    macro, _, rest = text.partition(" ")
    if macro.lower().removeprefix("@") in MACRO_NAMES and rest.strip():
        return f"Leave out what follows {macro}: {_COMMAND}.", "syntax"
    if text.lower().startswith("every "):
        return "Words are not read: write @daily, five fields, or an interval (--every).", "syntax"
    return None


def not_five(fields: list[str]) -> tuple[str, str]:
    """Return the sentence and the code for *fields* that are not five."""
    count = len(fields)
    if all(map(_FIELD.fullmatch, fields)) and any(_is_cut(field) for field in fields):
        return "A field has no spaces in it: write 1,2 or 1-5 or */5.", "syntax"
    if count == _FIVE + 1 and _YEAR.fullmatch(fields[-1]):
        sentence = "The expression has a sixth field, a year: use start_at and end_at instead."
        return sentence, "not_supported"
    has = f"The expression has {counted(count, 'field')}"
    if count in (_FIVE + 1, _FIVE + 2) and all(map(_FIELD.fullmatch, fields)):
        return (
            f"{has}; seconds{' and years' * (count > _FIVE + 1)} are not supported: give the five"
            " from minute to day-of-week, or interval_seconds for less than a minute.",
            "not_supported",
        )
    sentence = f"{has}; five are needed: {FIELDS}."
    if count > _FIVE and _is_expression(" ".join(fields[:_FIVE])):
        sentence += f" Leave out what follows them: {_COMMAND}."
    return sentence, "syntax"


def _is_cut(field: str) -> bool:
    return field[0] in _JOINTS or field[-1] in _JOINTS


def _is_expression(text: str) -> bool:
    fields = text.split()
    is_macro = len(fields) == 1 and fields[0].startswith("@")
    return is_macro or (len(fields) == _FIVE and all(map(_FIELD.fullmatch, fields)))


def _assigned(name: str) -> str:
    """Return the sentence for a variable in front of the fields, as some crontabs have it."""
    hint = "leave it out"
    if name.upper() in {"TZ", "CRON_TZ"}:
        hint = "give the time zone of the job instead (timezone, --timezone)"
    return f"The expression begins with {name}=; {hint}."


def term_hint(field: str, term: str) -> str:
    """Return what is read instead of *term*, in capitals, a part of the field named *field*."""
    if field == "day-of-month" and "W" in term:
        return ", or 15W for the working day nearest the 15th, or LW; W follows one day, no range"
    if field == "day-of-month" and "L" in term:
        return ", or L for the last day, or L-3 for the third before it"
    if field == "day-of-week" and "#" in term:
        return ", or MON#2 for the second Monday"
    if field == "day-of-week" and term.endswith("L"):
        return ", or 5L for the last Friday"
    if "~" in term or term == "R":
        return ", or H for a number that depends on the job's name"
    return ""
