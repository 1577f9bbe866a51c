"""A crontab as the source of an import: its lines, with the drafts of their jobs."""

import getpass
import pwd
from collections.abc import Collection, Iterator
from datetime import UTC, datetime
from re import match
from shutil import which

from jobs_app.cli.client import Client
from jobs_app.cli.crontab_files import STDIN, CrontabFile
from jobs_app.cli.import_sources import Item, Source
from jobs_app.cli.periodic_sources import tasks_of
from jobs_app.jobs.importers.command_names import is_interpreter, name_of
from jobs_app.jobs.importers.crontab import Entry, Line, first_word_of_a_person, read_crontab
from jobs_app.jobs.importers.crontab_times import merged_fires
from jobs_app.jobs.importers.drafts import Draft

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
    return Source(title, file.form, f"crontab {label}"[:200], items, list(file.notes))


def _item(line: Line, *, zone: str, prefix: str, accounts: Collection[str]) -> Item:
    item = Item(
        line.number,
        line.text,
        str(line.kind),
        differences=list(line.differences),
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
    item.differences += _account_differences(entry, user)
    if entry.times.cron is not None and (
        text := merged_fires(entry.times.cron, entry.timezone or zone, now=datetime.now(UTC))
    ):
        item.differences.append(text)
    return item


def _draft(entry: Entry, prefix: str, user: str | None) -> Draft:
    schedule = entry.times.schedule()
    if entry.jitter_seconds:
        schedule["jitter_seconds"] = entry.jitter_seconds
    return Draft(
        name=name_of(entry.kwargs["command"], prefix=prefix),
        task="shell",
        kwargs=entry.kwargs | ({} if user is None else {"user": user}),
        schedule=schedule,
        timezone=entry.timezone,
        described=DESCRIBED if entry.account is None else DESCRIBED | {"user"},
        description=entry.description,
        is_mailed=entry.is_mailed,
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
    word = first_word_of_a_person(entry)
    # A program may have the name of an account, as mail.
    if not word or which(word) is not None:
        return
    if is_account(word):
        yield f"Its command begins with the account {word!r}: is the file a --system crontab?"
    elif _may_be_account(word, entry.kwargs["command"]):
        yield (
            f"Its command begins with {word!r}, which is no program of this machine, and a program"
            " follows: is the file a --system crontab?"
        )


def _may_be_account(word: str, command: str) -> bool:
    if not match(r"[a-z_][a-z0-9_-]*\Z", word) or is_interpreter(word):
        return False
    following = command.split()[1]
    is_program = bool(match(r"/(?:\S+/)?s?bin/\S", following)) or is_interpreter(following)
    return is_program or following in ("cd", "(", "{", "[")


def is_account(name: str) -> bool:
    """Tell whether this machine has an account called *name*."""
    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    return True
