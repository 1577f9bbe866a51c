"""Reads crontabs line by line, with the rules of Debian's cron and cronie. Pure, no IO.

Each line of the file becomes one Line: nothing is left out. A variable is for the lines below
it, as in cron.
"""

import re
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from jobs_app.core.text import counted
from jobs_app.jobs.importers.crontab_commands import (
    SHELL,
    arguments,
    command_differences,
    command_note,
)
from jobs_app.jobs.importers.crontab_comments import OWN_HEADER, read_comment, read_idle_line
from jobs_app.jobs.importers.crontab_percent import split_percent
from jobs_app.jobs.importers.crontab_times import (
    MOST_JITTER_SECONDS,
    Times,
    check_surplus_field,
    field_times,
    macro_times,
)
from jobs_app.jobs.importers.crontab_variables import (
    MEANINGS,
    NOT_MAILED,
    read_variable,
    value_notes,
)
from jobs_app.jobs.importers.drafts import Refused
from jobs_app.schedules import timezones

#: The most characters of a command in Debian's cron (crontab(5)).
DEBIAN_COMMAND = 998

_FIELDS = re.compile(r"(?:[^ \t]+[ \t]+){5}")
_WORD = re.compile(r"[^ \t]+")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
#: An account, and the group and the login class that FreeBSD's cron reads behind it.
_ACCOUNT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@+\\-]*\$?(?:[:/][A-Za-z0-9_.-]+)*")
#: Options of a line that the crons of the BSDs read in front of the command.
_BSD_OPTION = re.compile(r"(?:-[nqs]+[ \t]+)+")

#: The note on a line that our own export has made a comment.
IDLE = "a comment, since its job ran nothing by itself; a new job waits until somebody resumes it"


class _RefusedHere(Refused):
    """A line that cron can read, and that becomes no job."""


class LineKind(StrEnum):
    """What a line of a crontab is."""

    BLANK = "blank"
    COMMENT = "comment"
    VARIABLE = "variable"
    JOB = "job"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Entry:
    """A command of a crontab with its times, and all that its job needs.

    `timezone` is None for the zone of the machine. `account` is the one of a system crontab.
    `name` is that of the job of which our own export made it, else "".
    `is_mailed` says that cron mails its output: MAILTO="" turns this off. `is_idle` says that
    our own export has made the line a comment, since its job ran nothing by itself.
    """

    times: Times
    kwargs: dict[str, Any]
    timezone: str | None
    jitter_seconds: int
    account: str | None
    description: str
    name: str = ""
    is_mailed: bool = True
    is_idle: bool = False


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the file, without its end. `entry` is that of a JOB.

    `differences` say what is not as in cron. `problem` says why a line is refused, and
    `advice` what helps; `command` is what follows its times, as far as it can be told.
    `is_broken` tells that Debian's cron cannot read it, either.
    """

    number: int
    text: str
    kind: LineKind
    entry: Entry | None = None
    differences: tuple[str, ...] = ()
    note: str = ""
    problem: str = ""
    advice: str = ""
    command: str = ""
    is_broken: bool = False


@dataclass(slots=True)
class _State:
    """The variables above the current line, and the lines of the comment right above it.

    `is_own` says that our own export has written the crontab, `is_idle` that the line above is
    an idle one of it.
    """

    variables: dict[str, str] = field(default_factory=dict)
    comment: list[str] = field(default_factory=list)
    is_own: bool = False
    is_idle: bool = False


def read_crontab(data: bytes, *, is_system: bool) -> list[Line]:
    """Return the lines of a crontab; *is_system*: a line names its account before the command."""
    texts = data.split(b"\n")
    has_end = texts[-1] == b""
    if has_end:
        texts.pop()
    state = _State()
    lines = []
    for number, raw in enumerate(texts, 1):
        text = raw.decode("utf-8", "backslashreplace")
        line = _line(number, text, raw, state, is_system=is_system)
        is_run = line.entry is not None and not line.entry.is_idle
        if number == len(texts) and not has_end and is_run:
            missing = "cron does not run a last line without a line end; here it is a job."
            line = replace(line, differences=(*line.differences, missing))
        lines.append(line)
    return lines


def _line(number: int, text: str, raw: bytes, state: _State, *, is_system: bool) -> Line:
    differences = []
    if number == 1 and text.startswith("\ufeff"):
        text = text.removeprefix("\ufeff")
        differences.append("cron does not read a line that begins with a byte order mark.")
    content, has_return = text.lstrip(" \t"), text.endswith("\r")
    content = content.removesuffix("\r")
    comment, state.comment = state.comment, []
    was_idle, state.is_idle = state.is_idle, False
    if not content.strip():
        return Line(number, text, LineKind.BLANK)
    if "\r" in content.strip("\r"):
        return Line(
            number,
            text,
            LineKind.REFUSED,
            problem="It has a carriage return inside: cron reads all of it as one line.",
            advice="Give the file the line ends of Unix.",
        )
    if content.startswith("#"):
        state.is_own |= number == 1 and content.rstrip() == OWN_HEADER
        idle = read_idle_line(content, comment, is_later=was_idle) if state.is_own else None
        if idle is not None and (line := _idle_job(number, text, idle, comment, state)):
            state.is_idle = True
            return line
        words = content.lstrip("#").strip()
        # An empty line of a comment divides it.
        state.comment = [*comment, words] if words else []
        return Line(number, text, LineKind.COMMENT)
    try:
        _check_characters(content, raw)
        if variable := read_variable(content):
            line = _variable(number, text, variable, state)
            marked = (
                "; cron takes the byte order mark for a part of its name" if differences else ""
            )
            return replace(line, note=f"{line.note}{marked}")
        if has_return:
            differences.append("cron gives the carriage return at its end to the command.")
        return _job(number, text, content, comment, differences, state, is_system=is_system)
    except Refused as refusal:
        return Line(
            number,
            text,
            LineKind.REFUSED,
            problem=refusal.problem,
            advice=refusal.advice,
            command=_refused_command(content, is_system=is_system),
            is_broken=not isinstance(refusal, _RefusedHere),
        )


def _idle_job(
    number: int, text: str, content: str, comment: list[str], state: _State
) -> Line | None:
    """Return the job of a line that our own export has made a comment; None if it is no job."""
    try:
        line = _job(number, text, content, comment, [], state, is_system=False)
    except Refused:
        return None
    if line.entry is None:
        return None
    # cron does not run it, so that nothing differs.
    entry = replace(line.entry, is_idle=True)
    return replace(
        line, entry=entry, differences=(), note="; ".join(filter(None, [IDLE, line.note]))
    )


def _refused_command(content: str, *, is_system: bool) -> str:
    """Return the command of a line that is refused; "" if it has none."""
    words = 1 if content.startswith("@") else 5
    times = re.match(rf"(?:[^ \t]+[ \t]+){{{words + is_system}}}", content)
    return split_percent(content[times.end() :])[0] if times else ""


def _check_characters(content: str, raw: bytes) -> None:
    if "\0" in content:
        raise _RefusedHere("It has a NUL character.")
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _RefusedHere("It is not UTF-8.", "Write the file anew in UTF-8.") from error


def _variable(number: int, text: str, variable: tuple[str, str], state: _State) -> Line:
    name, value = variable
    if not _NAME.fullmatch(name):
        raise _RefusedHere(f"{name[:60]!r} is no name of a variable that a shell passes on.")
    if name == "RANDOM_DELAY" and not (value.isascii() and value.isdigit()):
        raise _RefusedHere(
            f"RANDOM_DELAY: {value[:60]!r} is no number of minutes: nothing is spread."
        )
    state.variables[name] = value
    note = MEANINGS.get(name, "a variable of the commands below")
    if name == "CRON_TZ" and not value:
        note = "the jobs below are in the time zone of the machine again"
    if name == "MAILTO" and not value:
        note = NOT_MAILED
    note = "; ".join(filter(None, [note, *value_notes(text, value)]))
    return Line(number, text, LineKind.VARIABLE, note=note)


def _job(
    number: int,
    text: str,
    content: str,
    comment: list[str],
    differences: list[str],
    state: _State,
    *,
    is_system: bool,
) -> Line:
    if content.startswith("-"):
        content = content[1:]
        differences.append(
            "The - in front keeps the line out of cronie's log; here each run is on record."
        )
    times, rest = _times(content)
    differences += times.differences
    account, rest = _account(rest) if is_system else (None, rest)
    if option := _BSD_OPTION.match(rest):
        rest = rest[option.end() :]
        differences.append(f"{option[0].strip()} in front is left out: an option of BSD's cron.")
    command, stdin = split_percent(rest)
    if not command.strip():
        raise _RefusedHere("The command is empty.")
    if len(rest) > DEBIAN_COMMAND:
        differences.append(
            f"The command has {counted(len(rest), 'character')}, and Debian's cron reads"
            f" {DEBIAN_COMMAND}."
        )
    differences += command_differences(command, state.variables.get("SHELL") or SHELL)
    delay = int(state.variables.get("RANDOM_DELAY") or 0) * 60
    name, description = read_comment(comment, is_own=state.is_own)
    entry = Entry(
        times=times,
        kwargs=arguments(command, stdin, state.variables),
        timezone=_timezone(state.variables),
        jitter_seconds=min(delay, MOST_JITTER_SECONDS),
        account=account,
        name=name,
        description=description,
        is_mailed=state.variables.get("MAILTO") != "",
    )
    return Line(number, text, LineKind.JOB, entry, tuple(differences), command_note(rest, stdin))


def _account(text: str) -> tuple[str, str]:
    """Return the account at the start of *text*, and the command after it. Raises Refused."""
    match = _WORD.match(text)
    account = match[0] if match else ""
    command = text[len(account) :].lstrip(" \t")
    person = "A crontab of a person has no account before the command: --user."
    if not _ACCOUNT.fullmatch(account):
        raise Refused(f"{account[:60]!r} is no account: cron does not run the line.", person)
    if not command:
        raise Refused(f"The line has no command after the account {account!r}.", person)
    return account, command


def _timezone(variables: dict[str, str]) -> str | None:
    timezone = variables.get("CRON_TZ") or None
    if timezone is not None and not timezones.is_known(timezone):
        raise _RefusedHere(
            f"CRON_TZ above is no time zone: {timezone[:60]!r}.", "Write one such as Europe/Paris."
        )
    return timezone


def _times(content: str) -> tuple[Times, str]:
    """Return the times at the start of *content*, and what follows them. Raises Refused."""
    fields = None
    if content.startswith("@"):
        match = _WORD.match(content)
        end = match.end() if match else 0
    elif fields := _FIELDS.match(content):
        end = fields.end()
    else:
        raise Refused(
            f"It has {counted(len(content.split()), 'word')}; five fields for the time and a"
            " command are needed.",
            "A comment begins with #, and a variable is NAME=VALUE.",
        )
    rest = content[end:].lstrip(" \t")
    # A line of words has no times at all.
    if re.match(r"[\d*?~@]", content):
        check_surplus_field(rest)
    times = field_times(_WORD.findall(fields[0])) if fields else macro_times(content[:end])
    if not rest:
        raise Refused("It has no command.")
    return times, rest


def looks_like_system(data: bytes) -> bool:
    """Tell whether a file of an unknown place has an account before its commands.

    It does if each line has a word there that may be an account, at least one of them root.
    """
    accounts = set()
    for line in read_crontab(data, is_system=False):
        if line.entry is not None:
            command = line.entry.kwargs["command"]
            match = re.match(r"([a-z_][a-z0-9_-]*)(?:[:/][\w.-]+)*[ \t]+\S", command)
            accounts.add(match[1] if match else "")
    return "root" in accounts and "" not in accounts
