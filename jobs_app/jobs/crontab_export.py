r"""Writes jobs as the lines of a crontab, for Debian's cron and cronie. Pure, no IO.

crontab(5) has the format: five fields and a command, in which % is written \%. A job, or a part of
it, that no line can say is a comment, and a note.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jobs_app.core.document_diff import differences
from jobs_app.core.errors import InvalidInput
from jobs_app.core.field_spec import flat
from jobs_app.core.policies import RunLimits
from jobs_app.core.states import JobState
from jobs_app.jobs.document import in_one_field
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


class _NoLineError(Exception):
    """A job that no line of a crontab can say; the text says why."""


@dataclass(frozen=True, slots=True)
class Crontab:
    """A crontab, and a note about each job of which something is lost."""

    text: str
    notes: list[str]


def crontab(jobs: Sequence[Mapping[str, Any]]) -> Crontab:
    """Return *jobs*, as the API returns them, as a crontab: those of one time zone together."""
    notes: list[str] = []
    blocks: dict[str, list[str]] = {}
    for job in jobs:
        zone, lines = _block(job, notes)
        blocks.setdefault(zone, []).append("\n".join(lines))
    lines = ["# Jobs of jobs-app.", f"# {GENERAL}"]
    # Jobs without a line come first, then those of each zone.
    for zone, texts in sorted(blocks.items()):
        lines += ["", f"CRON_TZ={zone}"] if zone else []
        for text in texts:
            lines += ["", text]
    if any(blocks):
        lines.insert(2, f"# {ZONES}")
        notes.append(ZONES)
    return Crontab("\n".join(lines) + "\n", [GENERAL, *notes])


def _block(job: Mapping[str, Any], notes: list[str]) -> tuple[str, list[str]]:
    """Return the zone and the lines of one job; the zone is "" if it has no line of its own."""
    name = job["name"]
    lines = [f"# {name}{_first_line(job)}"]
    try:
        zone, entries = _zone(job), [f"{when} {_command(job)}" for when in _times(job)]
    except _NoLineError as error:
        notes.append(f"{name}: left out, because {error}.")
        return "", [*lines, f"# Left out, because {error}."]
    if lost := sorted(_lost(job)):
        notes.append(f"{name}: cron has nothing for {', '.join(lost)}.")
        lines.append(f"# cron has nothing for: {', '.join(lost)}")
    if (idle := _idle(job)) is not None:
        notes.append(f"{name}: {idle}, so its line is a comment.")
        return zone, [*lines, *(f"# {idle}: {entry}" for entry in entries)]
    return zone, [*lines, *entries]


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


def _command(job: Mapping[str, Any]) -> str:
    """Return the command as a line holds it; raises _NoLineError."""
    if job["task"] != "shell":
        raise _NoLineError(f"its task is {job['task']}, and cron runs commands only")
    kwargs = job["kwargs"]
    command = str(kwargs.get("command") or "")
    if names := references.names_in(dict(kwargs)):
        raise _NoLineError(f"it uses the secret {sorted(names)[0]}")
    if "\n" in command:
        raise _NoLineError("its command has several lines: put it into a file")
    if (shell := kwargs.get("shell")) is not None:
        command = f"{shell} -c {_quoted(command)}"
    if cwd := kwargs.get("cwd"):
        command = f"cd {_quoted(str(cwd))} && {command}"
    for name, value in (kwargs.get("env") or {}).items():
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
    if (job["kwargs"] or {}).get("success_exit_codes"):
        yield "kwargs.success_exit_codes"
    for schedule in _schedules(job):
        for name in ("start_at", "end_at", "jitter_seconds"):
            if schedule.get(name):
                yield f"schedule.{name}"
