"""A crontab as the source of an import: its lines, with the drafts of their jobs."""

import getpass
import pwd
from collections.abc import Iterator
from datetime import UTC, datetime
from shutil import which

from jobs_app.cli.crontab_files import STDIN, CrontabFile
from jobs_app.cli.import_sources import Item, Source
from jobs_app.jobs.importers.command_names import name_of
from jobs_app.jobs.importers.crontab import Entry, Line, first_word_of_a_person, read_crontab
from jobs_app.jobs.importers.crontab_times import merged_fires
from jobs_app.jobs.importers.drafts import Draft

#: The arguments of `shell` that a line of a crontab determines.
DESCRIBED = frozenset({"command", "stdin", "env", "cwd", "shell"})


def source_of(file: CrontabFile, label: str, *, zone: str, prefix: str) -> Source:
    """Return *file* as a source called *label*; times without a zone are in *zone*."""
    lines = read_crontab(file.data, is_system=file.is_system)
    title = "Standard input" if file.path == STDIN else file.path
    items = [_item(line, zone=zone, prefix=prefix) for line in lines]
    return Source(title, file.form, f"crontab {label}"[:200], items, list(file.notes))


def _item(line: Line, *, zone: str, prefix: str) -> Item:
    item = Item(
        line.number,
        line.text,
        str(line.kind),
        differences=list(line.differences),
        note=line.note,
        problem=line.problem,
        advice=line.advice,
    )
    entry = line.entry
    if entry is None:
        return item
    item.draft = _draft(entry, prefix)
    item.differences += _account_differences(entry)
    if entry.times.cron is not None and (
        text := merged_fires(entry.times.cron, entry.timezone or zone, now=datetime.now(UTC))
    ):
        item.differences.append(text)
    return item


def _draft(entry: Entry, prefix: str) -> Draft:
    schedule = entry.times.schedule()
    if entry.jitter_seconds:
        schedule["jitter_seconds"] = entry.jitter_seconds
    return Draft(
        name=name_of(entry.kwargs["command"], prefix=prefix),
        task="shell",
        kwargs=entry.kwargs,
        schedule=schedule,
        timezone=entry.timezone,
        described=DESCRIBED,
        description=entry.description,
        is_mailed=entry.is_mailed,
    )


def _account_differences(entry: Entry) -> Iterator[str]:
    if entry.account is not None and entry.account != getpass.getuser():
        yield f"cron runs it as {entry.account}; here the account of the worker runs it."
    word = first_word_of_a_person(entry)
    # A program may have the name of an account, as mail.
    if word and is_account(word) and which(word) is None:
        yield f"Its command begins with the account {word!r}: is the file a --system crontab?"


def is_account(name: str) -> bool:
    """Tell whether this machine has an account called *name*."""
    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    return True
