"""A crontab as the source of an import: its lines, with the drafts of their jobs."""

import getpass
import os
import pwd
from collections.abc import Collection, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import PurePath
from re import match
from shutil import which

from jobs_app.cli.client import Client
from jobs_app.cli.crontab_files import STDIN, CrontabFile
from jobs_app.cli.import_sources import Item, Source
from jobs_app.cli.periodic_sources import tasks_of
from jobs_app.core.text import counted, listed
from jobs_app.jobs.importers.command_names import is_interpreter, name_of, runs_others
from jobs_app.jobs.importers.crontab import Entry, Line, LineKind, read_crontab
from jobs_app.jobs.importers.crontab_commands import NEEDS_ROOT
from jobs_app.jobs.importers.crontab_times import merged_fires
from jobs_app.jobs.importers.drafts import Draft
from jobs_app.schedules import cron_expression, cron_fires, timezones

ROOT = 0
#: The accounts of people have this number or a higher one (UID_MIN in login.defs of Debian).
FIRST_PERSON = 1000
#: The arguments of `shell` that a line of a crontab determines.
DESCRIBED = frozenset({"command", "stdin", "env", "cwd", "shell"})


def allowed_accounts(client: Client) -> frozenset[str]:
    """Return the accounts that a job may name; raises Failure."""
    user = tasks_of(client)["shell"]["schema"]["properties"].get("user", {})
    return frozenset(name for kind in user.get("anyOf", ()) for name in kind.get("enum", ()))


def source_of(
    file: CrontabFile,
    label: str,
    *,
    zone: str,
    prefix: str,
    accounts: Collection[str] = frozenset(),
) -> Source:
    """Return *file* as a source called *label*; times without a zone are in *zone*.

    A line that names one of *accounts* before its command becomes a job with that `user`.
    """
    lines = read_crontab(file.data, is_system=file.is_system)
    title = "Standard input" if file.path == STDIN else file.path
    items = [_item(line, zone=zone, prefix=prefix, accounts=accounts) for line in lines]
    _join_times(items, lines)
    notes = [*file.notes, *_notes(lines, file)]
    return Source(title, file.form, f"crontab {label}"[:200], items, notes)


def _join_times(items: list[Item], lines: list[Line]) -> None:
    """Make one job of the lines that our own export has written for several schedules of one."""
    first: Item | None = None
    for item, line in zip(items, lines, strict=True):
        draft = item.draft
        if line.entry is None or draft is None:
            first = None
        elif line.entry.name:
            first = item
        elif first is not None and (job := first.draft) is not None:
            if _differ_in_times_alone(job, draft):
                other = {**draft.schedule, "timezone": draft.timezone}
                first.draft = replace(job, others=(*job.others, other))
                item.draft, item.note = None, f"another time of {job.name}"
            else:
                first = None


def _differ_in_times_alone(one: Draft, other: Draft) -> bool:
    unnamed = [
        replace(draft, name="", description="", schedule={}, others=()) for draft in (one, other)
    ]
    return one.timezone is not None and unnamed[0] == unnamed[1]


def _notes(lines: list[Line], file: CrontabFile) -> Iterator[str]:
    """Yield what is to be said of the whole file."""
    broken = [str(line.number) for line in lines if line.is_broken]
    if broken and PurePath(file.path).parent.name == "cron.d":
        yield (
            "Not as in cron: Debian's cron ignores the whole file, for it cannot read"
            f" {_numbered('line', broken)}. Here each line counts by itself."
        )
    disabled = [str(line.number) for line in lines if _is_disabled(line, is_system=file.is_system)]
    if disabled:
        look = "looks like a disabled line" if len(disabled) == 1 else "look like disabled lines"
        yield f"{counted(len(disabled), 'comment')} {look}: {_numbered('line', disabled)}."


def _is_disabled(line: Line, *, is_system: bool) -> bool:
    """Tell whether the comment *line* looks like a line for a job that is put out of use."""
    text = line.text.lstrip(" \t#")
    # The comments at the top of Debian's crontabs show how a line is written.
    if line.kind is not LineKind.COMMENT or "command to be executed" in text:
        return False
    (read,) = read_crontab(f"{text}\n".encode(), is_system=is_system)
    return read.kind is LineKind.JOB


def _numbered(noun: str, numbers: list[str]) -> str:
    return f"{noun}{'' if len(numbers) == 1 else 's'} {listed(numbers)}"


def _item(line: Line, *, zone: str, prefix: str, accounts: Collection[str]) -> Item:
    item = Item(
        line.number,
        line.text,
        str(line.kind),
        # The worker of an installation of root is taken to run as root, too.
        differences=[
            text for text in line.differences if text != NEEDS_ROOT or os.geteuid() != ROOT
        ],
        note=line.note,
        problem=line.problem,
        advice=line.advice,
        name=name_of(line.command, prefix=prefix) if line.command else "",
        command=line.command,
    )
    entry = line.entry
    if entry is None:
        return item
    user = entry.account if entry.account in accounts else None
    item.draft = _draft(entry, prefix, user)
    if entry.is_idle:
        return item
    item.differences += _account_differences(entry, user)
    if entry.times.cron is not None and (
        text := merged_fires(entry.times.cron, entry.timezone or zone, now=datetime.now(UTC))
    ):
        item.differences.append(text)
    item.differences += _zone_differences(entry, zone)
    return item


def _zone_differences(entry: Entry, machine: str) -> Iterator[str]:
    """Yield at which time Debian's cron, which does not read CRON_TZ, runs a line below it."""
    if entry.times.cron is None or entry.timezone is None:
        return
    expression, now = cron_expression.parse(entry.times.cron, "x"), datetime.now(UTC)
    theirs = cron_fires.next_fire(expression, timezones.load(machine), now)
    ours = cron_fires.next_fire(expression, timezones.load(entry.timezone), now)
    if theirs is None or theirs == ours:
        return
    there = theirs.astimezone(timezones.load(machine))
    here = theirs.astimezone(timezones.load(entry.timezone))
    yield (
        f"Debian's cron does not read CRON_TZ: it runs this at {there:%Y-%m-%d %H:%M} in {machine}"
        f" next, which is {here:%Y-%m-%d %H:%M} in {entry.timezone}. cronie runs it as here."
    )


def _draft(entry: Entry, prefix: str, user: str | None) -> Draft:
    schedule = entry.times.schedule()
    if entry.jitter_seconds:
        schedule["jitter_seconds"] = entry.jitter_seconds
    return Draft(
        name=f"{prefix}{entry.name}"
        if entry.name
        else name_of(entry.kwargs["command"], prefix=prefix),
        task="shell",
        kwargs=entry.kwargs | ({} if user is None else {"user": user}),
        schedule=schedule,
        timezone=entry.timezone,
        described=DESCRIBED if entry.account is None else DESCRIBED | {"user"},
        description=entry.description,
        is_mailed=entry.is_mailed,
        is_paused=entry.is_idle,
    )


def _account_differences(entry: Entry, user: str | None) -> Iterator[str]:
    if entry.account not in (None, user, getpass.getuser()):
        yield (
            f"cron runs it as {entry.account}; here the account of the worker runs it"
            " (JOBS_SHELL_USERS does not have that one)."
        )
    # FreeBSD's cron reads a group and a login class behind it.
    name = (entry.account or "").partition("/")[0].partition(":")[0]
    if name and not is_account(name):
        yield f"This machine has no account {name!r}: is the file a --user crontab?"
    if entry.account is None:
        yield from _column_differences(entry.kwargs["command"])


def _column_differences(command: str) -> Iterator[str]:
    """Yield what says that a column of accounts is in front of *command*."""
    word, _, rest = command.partition(" ")
    following = rest.split()
    # A program may have the name of an account.
    if which(word) is not None:
        return
    if is_account(word):
        if not following and _is_of_people(word):
            yield f"Its command is only the account {word!r}: is the file a --system crontab?"
        # Accounts of services have names of programs: mail, backup, news.
        elif following and (_is_of_people(word) or _is_command(following[0])):
            yield f"Its command begins with the account {word!r}: is the file a --system crontab?"
    elif (
        following
        and match(r"[a-z_][a-z0-9_-]*\Z", word)
        and not runs_others(word)
        and _is_command(following[0])
    ):
        yield (
            f"Its command begins with {word!r}, which is no program of this machine, and a program"
            " follows: is the file a --system crontab?"
        )


def _is_command(word: str) -> bool:
    """Tell whether *word* can begin a command: a program by its place or name, or the shell's."""
    is_program = bool(match(r"/(?:\S+/)?s?bin/\S", word)) or is_interpreter(word)
    return is_program or word in ("cd", "(", "{", "[")


def _is_of_people(name: str) -> bool:
    """Tell whether the account *name* is that of root or of a person."""
    number = pwd.getpwnam(name).pw_uid
    return number == ROOT or number >= FIRST_PERSON


def is_account(name: str) -> bool:
    """Tell whether this machine has an account called *name*."""
    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    return True
