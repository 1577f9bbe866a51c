r"""Writes jobs as the lines of a crontab, for Debian's cron and cronie. Pure, no IO.

crontab(5) has the format: five fields and a command, in which % is written \%. A job, or a part of
it, that no line can say is a comment, and a note.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from jobs_app.core.document_diff import differences
from jobs_app.core.field_spec import flat
from jobs_app.core.policies import RunLimits
from jobs_app.core.states import Event, JobState
from jobs_app.jobs.crontab_fields import NoLineError, fields_of
from jobs_app.jobs.document import in_one_field
from jobs_app.jobs.importers.crontab_commands import SHELL
from jobs_app.jobs.importers.crontab_comments import OBSERVES, OWN_HEADER, heading, idle_line
from jobs_app.jobs.importers.crontab_variables import NOT_PASSED, read_variable
from jobs_app.runs.retry import RetryPolicy
from jobs_app.secrets import references

#: The most characters of a command that Debian's cron reads (crontab(5)).
MOST_CHARACTERS = 998

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
    lines = [OWN_HEADER, f"# {GENERAL}"]
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
    block = _Block(job, [heading(str(job["name"]), job.get("description"))])
    try:
        zone, times = _zone(job), _times(job)
        # A command that is no line with its own variables may be one below them.
        block.variables = _variables(job)
        _command(job, block.variables)
    except NoLineError as error:
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
    except NoLineError as error:
        return [_left_out(block, error, notes)]
    entries = [f"{when} {command}" for when in block.times]
    if (idle := _idle(block.job)) is None:
        return entries
    notes.append(f"{block.job['name']}: {idle}, so its line is a comment.")
    return [idle_line(idle, entry) for entry in entries]


def _left_out(block: _Block, error: NoLineError, notes: list[str]) -> str:
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
        return OBSERVES
    return None if job.get("state") == JobState.ACTIVE else str(job.get("state"))


def _schedules(job: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    document = in_one_field(job)
    schedule = document.get("schedule")
    return list(document.get("schedules") or ([] if schedule is None else [schedule]))


def _zone(job: Mapping[str, Any]) -> str:
    zones = {schedule["timezone"] for schedule in _schedules(job)}
    if len(zones) > 1:
        raise NoLineError("its schedules are in several time zones")
    return str(next(iter(zones), ""))


def _times(job: Mapping[str, Any]) -> list[str]:
    schedules = _schedules(job)
    if not schedules:
        raise NoLineError("it is started by hand only")
    return [fields_of(schedule, str(job["name"])) for schedule in schedules]


def _command(job: Mapping[str, Any], shared: Mapping[str, str]) -> str:
    """Return the command as a line below the variables *shared* holds it; raises NoLineError."""
    if job["task"] != "shell":
        raise NoLineError(f"its task is {job['task']}, and cron runs commands only")
    kwargs = job["kwargs"]
    command = str(kwargs.get("command") or "")
    if names := references.names_in(dict(kwargs)):
        raise NoLineError(f"it uses the secret {sorted(names)[0]}")
    if "\n" in command:
        raise NoLineError("its command has several lines: put it into a file")
    if (cwd := kwargs.get("cwd")) and cwd != shared.get("HOME"):
        command = f"cd {_quoted(str(cwd))} && {command}"
    for name, value in (kwargs.get("env") or {}).items():
        if shared.get(name) != value:
            command = f"export {name}={_quoted(str(value))}; {command}"
    command = command.replace("%", r"\%")
    if stdin := kwargs.get("stdin"):
        command += "%" + str(stdin).rstrip("\n").replace("%", r"\%").replace("\n", "%")
    if "\n" in command or len(command) > MOST_CHARACTERS:
        raise NoLineError(f"its command is no line of at most {MOST_CHARACTERS} characters")
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
