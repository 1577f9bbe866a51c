r"""Writes jobs as the lines of a crontab, for Debian's cron and cronie. Pure, no IO.

crontab(5) has the format: five fields and a command, in which % is written \%. A job, or a part of
it, that no line can say is a comment, and a note.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from jobs_app.core.document_diff import differences
from jobs_app.core.errors import InvalidInput
from jobs_app.core.field_spec import flat
from jobs_app.core.policies import RunLimits
from jobs_app.core.states import Event, JobState
from jobs_app.jobs.document import in_one_field
from jobs_app.jobs.importers.crontab import NOT_PASSED
from jobs_app.jobs.importers.crontab_commands import SHELL
from jobs_app.jobs.importers.crontab_variables import read_variable
from jobs_app.runs.retry import RetryPolicy
from jobs_app.schedules.cron_fields import resolve
from jobs_app.secrets import references

#: The most characters of a command that Debian's cron reads (crontab(5)).
MOST_CHARACTERS = 998

#: The last value of minute, hour, day of month and month, up to which `5/15` goes.
_LAST = (59, 23, 31, 12)

_NAMES = {
    name: str(number)
    for names, first in (
        ("JAN FEB MAR APR MAY JUN JUL AUG SEP OCT NOV DEC", 1),
        ("SUN MON TUE WED THU FRI SAT", 0),
    )
    for number, name in enumerate(names.split(), first)
}
_PLAIN = re.compile(r"(?:\*|\d+(?:-\d+)?)(?:/\d+)?")
_OPEN_STEP = re.compile(r"(\d+)/(\d+)")

#: What cron does to all jobs, whatever they say here.
GENERAL = (
    "cron starts a run while another one goes on, runs nothing that it has missed, and knows"
    " neither queues nor time limits."
)
ZONES = (
    "CRON_TZ is read by cronie; Debian's cron ignores it, and reads all times in the zone of the"
    " machine."
)
#: How a crontab says where output goes.
MAIL = (
    'MAILTO="" stands above the jobs that send their output to no channel. That of the others is'
    " mailed to the owner of the crontab: write MAILTO=ADDRESS above them for somebody else."
)


class _NoLineError(Exception):
    """A job that no line of a crontab can say; the text says why."""


@dataclass(frozen=True, slots=True)
class Crontab:
    """A crontab, and a note about each job of which something is lost."""

    text: str
    notes: list[str]


@dataclass(slots=True)
class _Block:
    """The comments and the times of one job, and the variables that its lines may have above."""

    job: Mapping[str, Any]
    heading: list[str]
    zone: str = ""
    times: list[str] = field(default_factory=list)
    variables: dict[str, str] = field(default_factory=dict)


def crontab(jobs: Sequence[Mapping[str, Any]]) -> Crontab:
    """Return *jobs*, as the API returns them, as a crontab: variables once, above their lines.

    In cron a variable is for all lines below it, and nothing takes it away. So jobs with fewer
    variables come first. One that not all jobs below have stays in the commands.
    """
    notes: list[str] = []
    blocks = [_block(job, notes) for job in jobs]
    left_out = [block for block in blocks if not block.times]
    rest = sorted((block for block in blocks if block.times), key=_order)
    lines = ["# Jobs of jobs-app.", f"# {GENERAL}"]
    if rest:
        lines += [f"# {text}" for text in (ZONES, MAIL)]
        notes += [ZONES, MAIL]
    for block in left_out:
        lines += ["", *block.heading]
    present = {"SHELL": SHELL}
    for index, block in enumerate(rest):
        shared = _shared(block, rest[index:])
        wanted = {"CRON_TZ": block.zone, "SHELL": _shell(block.job), **shared}
        changed = {name: value for name, value in wanted.items() if present.get(name) != value}
        present |= changed
        entries = _entries(block, shared, notes)
        # A blank line: no comment above a variable is read as that of a job.
        lines += ["", *(_assignment(*pair) or "" for pair in changed.items())] if changed else []
        lines += ["", *block.heading, *entries]
    return Crontab("\n".join(lines) + "\n", [GENERAL, *notes])


def _block(job: Mapping[str, Any], notes: list[str]) -> _Block:
    """Return the parts of one job; it has no times if no line can say it."""
    block = _Block(job, [f"# {job['name']}{_first_line(job)}"])
    try:
        zone, times = _zone(job), _times(job)
        # A command that is no line with its own variables may be one below them.
        block.variables = _variables(job)
        _command(job, block.variables)
    except _NoLineError as error:
        block.heading.append(_left_out(block, error, notes))
        return block
    block.zone, block.times = zone, times
    if lost := sorted(_lost(job)):
        notes.append(f"{job['name']}: cron has nothing for {', '.join(lost)}.")
        block.heading.append(f"# cron has nothing for: {', '.join(lost)}")
    return block


def _entries(block: _Block, shared: Mapping[str, str], notes: list[str]) -> list[str]:
    """Return the lines that run a job; comments if it runs nothing by itself now."""
    try:
        command = _command(block.job, shared)
    except _NoLineError as error:
        return [_left_out(block, error, notes)]
    entries = [f"{when} {command}" for when in block.times]
    if (idle := _idle(block.job)) is None:
        return entries
    notes.append(f"{block.job['name']}: {idle}, so its line is a comment.")
    return [f"# {idle}: {entry}" for entry in entries]


def _left_out(block: _Block, error: _NoLineError, notes: list[str]) -> str:
    notes.append(f"{block.job['name']}: left out, because {error}.")
    return f"# Left out, because {error}."


def _order(block: _Block) -> tuple[bool, int, str, list[str]]:
    """Return what comes first: jobs whose output is mailed, then those with fewer variables."""
    names = sorted(block.variables)
    return "MAILTO" in block.variables, len(names), block.zone, names


def _variables(job: Mapping[str, Any]) -> dict[str, str]:
    """Return the variables of *job* that lines of a crontab can set as they are here."""
    kwargs = job["kwargs"] or {}
    env = {name: str(value) for name, value in (kwargs.get("env") or {}).items()}
    if env.get("HOME") != kwargs.get("cwd"):
        # It would be the directory, too.
        env.pop("HOME", None)
    variables = {
        name: value
        for name, value in env.items()
        if name not in NOT_PASSED and _assignment(name, value)
    }
    rules = job.get("notify") or ()
    is_mailed = any(str(Event.OUTPUT) in (rule.get("on") or ()) for rule in rules)
    return variables if is_mailed else variables | {"MAILTO": ""}


def _shared(block: _Block, below: Sequence[_Block]) -> dict[str, str]:
    """Return the variables of *block* that it shares with all blocks from it on, by name."""
    return {
        name: value
        for name, value in block.variables.items()
        if all(name in other.variables for other in below)
    }


def _assignment(name: str, value: str) -> str | None:
    """Return the line that sets a variable, as cron reads it; None if no line does."""
    for text in (value, f'"{value}"', f"'{value}'"):
        line = f"{name}={text}"
        if text and "\n" not in line and read_variable(line) == (name, value):
            return line if len(line) <= MOST_CHARACTERS else None
    return None


def _shell(job: Mapping[str, Any]) -> str:
    return str(job["kwargs"].get("shell") or SHELL)


def _idle(job: Mapping[str, Any]) -> str | None:
    """Return why a job runs nothing by itself now; None if it does."""
    if job.get("observe"):
        return "observes"
    return None if job.get("state") == JobState.ACTIVE else str(job.get("state"))


def _first_line(job: Mapping[str, Any]) -> str:
    text = " ".join(str(job.get("description") or "").split())
    return f": {text[:100]}" if text else ""


def _schedules(job: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    document = in_one_field(job)
    schedule = document.get("schedule")
    return list(document.get("schedules") or ([] if schedule is None else [schedule]))


def _zone(job: Mapping[str, Any]) -> str:
    zones = {schedule["timezone"] for schedule in _schedules(job)}
    if len(zones) > 1:
        raise _NoLineError("its schedules are in several time zones")
    return str(next(iter(zones), ""))


def _times(job: Mapping[str, Any]) -> list[str]:
    schedules = _schedules(job)
    if not schedules:
        raise _NoLineError("it is started by hand only")
    return [_fields(schedule, str(job["name"])) for schedule in schedules]


def _fields(schedule: Mapping[str, Any], seed: str) -> str:
    """Return the five fields of *schedule*, or @reboot; raises _NoLineError."""
    if schedule.get("at") is not None:
        raise _NoLineError("it runs once, for which there is at(1)")
    if schedule.get("on") is not None:
        return "@reboot"
    if (cron := schedule.get("cron")) is None:
        return _interval_fields(schedule)
    try:
        fields = resolve(str(cron), seed).split(" ")
    except InvalidInput as error:
        raise _NoLineError(f"its expression {cron!r} cannot be read") from error
    return " ".join(
        ",".join(_term(term, index, str(cron)) for term in field.split(","))
        for index, field in enumerate(fields)
    )


def _term(term: str, index: int, cron: str) -> str:
    """Return a term of the field number *index* as Debian's cron reads it; raises _NoLineError."""
    for name, number in _NAMES.items():
        term = term.replace(name, number)
    if (match := _OPEN_STEP.fullmatch(term)) and index < len(_LAST):
        return f"{match[1]}-{_LAST[index]}/{match[2]}"
    if match or not _PLAIN.fullmatch(term):
        raise _NoLineError(f"cron cannot read {term!r} in {cron!r}")
    return term


def _interval_fields(schedule: Mapping[str, Any]) -> str:
    """Return the fields of an interval that divides the hour; raises _NoLineError.

    Others begin anew at midnight in a crontab, and not here.
    """
    seconds, anchor = schedule.get("interval_seconds"), str(schedule.get("anchor_at") or "")
    if seconds is None:
        raise _NoLineError(f"cron has nothing for every {schedule.get('every')}")
    minute, second = _minute_of(anchor)
    if seconds % 60 or 3600 % seconds or second:
        raise _NoLineError(f"no line of cron means every {seconds} s from {anchor}")
    step = seconds // 60
    first = minute % step
    if step == 60:
        return f"{first} * * * *"
    return f"*/{step} * * * *" if first == 0 else f"{first}-59/{step} * * * *"


def _minute_of(instant: str) -> tuple[int, bool]:
    """Return the minute of an RFC 3339 instant, and whether it has seconds."""
    match = re.search(r"T\d\d:(\d\d):(\d\d(?:\.\d+)?)", instant)
    return (int(match[1]), float(match[2]) != 0) if match else (0, False)


def _command(job: Mapping[str, Any], shared: Mapping[str, str]) -> str:
    """Return the command as a line below the variables *shared* holds it; raises _NoLineError."""
    if job["task"] != "shell":
        raise _NoLineError(f"its task is {job['task']}, and cron runs commands only")
    kwargs = job["kwargs"]
    command = str(kwargs.get("command") or "")
    if names := references.names_in(dict(kwargs)):
        raise _NoLineError(f"it uses the secret {sorted(names)[0]}")
    if "\n" in command:
        raise _NoLineError("its command has several lines: put it into a file")
    if (cwd := kwargs.get("cwd")) and cwd != shared.get("HOME"):
        command = f"cd {_quoted(str(cwd))} && {command}"
    for name, value in (kwargs.get("env") or {}).items():
        if shared.get(name) != value:
            command = f"export {name}={_quoted(str(value))}; {command}"
    command = command.replace("%", r"\%")
    if stdin := kwargs.get("stdin"):
        command += "%" + str(stdin).rstrip("\n").replace("%", r"\%").replace("\n", "%")
    if "\n" in command or len(command) > MOST_CHARACTERS:
        raise _NoLineError(f"its command is no line of at most {MOST_CHARACTERS} characters")
    return command


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


def _lost(job: Mapping[str, Any]) -> Iterator[str]:
    """Yield the names of the fields of *job* that change what it does, and that cron lacks."""
    defaults = {
        **flat(RunLimits()),
        "retry": RetryPolicy().as_json(),
        "notify": None,
        "max_runs": None,
        "pause_after_failures": None,
        "concurrency_key": None,
    }
    own = {name: job.get(name) for name in defaults}
    yield from (field.name for field in differences(defaults, own))
    for name in ("success_exit_codes", "user"):
        if (job["kwargs"] or {}).get(name):
            yield f"kwargs.{name}"
    for schedule in _schedules(job):
        for name in ("start_at", "end_at", "jitter_seconds"):
            if schedule.get(name):
                yield f"schedule.{name}"
