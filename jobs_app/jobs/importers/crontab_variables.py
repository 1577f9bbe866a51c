"""Reads the variables of a crontab, with the states of cron's own reader. Pure, no IO."""

import re
from collections.abc import Iterator

MAILED = "cron mails the output of the jobs below; here a channel may get it (--mail-channel)"
NOT_MAILED = "cron mails no output of the jobs below; here no channel gets it, either"
OF_MAIL = "it is about cron's mail, and has no effect: a channel says how its messages look"

#: What a variable does that is more than a variable of the commands; "" if nothing.
MEANINGS = {
    "SHELL": "the shell of the jobs below",
    "HOME": "the directory of the jobs below, too",
    "CRON_TZ": "the time zone of the jobs below, as in cronie; Debian's cron does not read it",
    "TZ": "a variable of the commands; as in cron, it does not change when they run",
    "RANDOM_DELAY": "the starts of the jobs below are spread over so many minutes, as in cronie",
    "MAILTO": MAILED,
    "MAILFROM": OF_MAIL,
    "CONTENT_TYPE": OF_MAIL,
    "CONTENT_TRANSFER_ENCODING": OF_MAIL,
    "LOGNAME": "it is left out: cron sets it to the account by itself",
}
#: Variables that do not go to the commands.
NOT_PASSED = MEANINGS.keys() - {"HOME", "TZ"}

_BLANKS = " \t\r\n\v\f"

#: The times of a job and its command, in the value of a variable.
_JOB = re.compile(
    r"(?:^|[ \t])(?:(?:[\d*?][^ \t]*[ \t]+){2}(?:[\w*?][^ \t]*[ \t]+){3}|@[a-z]+[ \t]+)\S"
)


def read_variable(text: str) -> tuple[str, str] | None:
    """Return the name and the value of a line NAME=VALUE; None if it is another line.

    As cron's env.c has it: blanks around the = do not count, quotation marks around the name or
    the value keep the blanks in them, and behind the second mark nothing may follow.
    """
    name, rest = _quoted_part(text, is_name=True)
    if name is None or rest is None:
        return None
    rest = rest.lstrip(_BLANKS)
    if not rest.startswith("="):
        return None
    rest = rest[1:].lstrip(_BLANKS)
    if rest[:1] not in ("'", '"'):
        return name, rest.rstrip(_BLANKS)
    value, after = _quoted_part(rest, is_name=False)
    if value is None or after is None or after.strip(_BLANKS):
        return None
    return name, value


def _quoted_part(text: str, *, is_name: bool) -> tuple[str | None, str | None]:
    """Return the name or the quoted value at the start of *text*, and what follows it."""
    mark = text[:1]
    if mark in ("'", '"') and mark:
        end = text.find(mark, 1)
        part = text[1:end]
        if end < 0 or (is_name and "=" in part):
            return None, None
        return part, text[end + 1 :]
    end = next((i for i, character in enumerate(text) if character in _BLANKS + "="), len(text))
    return text[:end], text[end:]


def value_notes(text: str, value: str) -> Iterator[str]:
    """Yield what may surprise in the *value* of the line *text*."""
    if re.search(r"\$\w|\$\{", value):
        yield "as in cron, $ in it is not replaced"
    if text.rstrip().endswith("=") and not value:
        yield 'Debian\'s cron reads an empty value only as NAME=""'
    if re.match(r"~|.*:~", value):
        yield "as in cron, ~ in it is not replaced"
    if re.search(r"[ \t](?:#|[A-Z_]+=)", value):
        yield "as in cron, all behind the = is the value"
    if _JOB.search(value):
        yield "cron takes the whole line for a variable, so that its command never runs"
