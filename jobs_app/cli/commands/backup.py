"""`jobs-app backup` and `restore`: an installation in one file."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING

import click

from jobs_app.cli.commands.processes import settings_for_database
from jobs_app.cli.output import confirm, print_note, print_text
from jobs_app.core import clock
from jobs_app.core.text import counted

if TYPE_CHECKING:
    from jobs_app.core.settings import Settings
    from jobs_app.jobs.backup import Backup

#: Stands for standard output, or standard input.
DASH = Path("-")


@click.command()
@click.argument("target", metavar="FILE", type=click.Path(path_type=Path))
@click.option(
    "--with-key",
    is_flag=True,
    help="Put the key of the secrets into the file: whoever has it can then read them.",
)
@click.option("--replace", "replaces", is_flag=True, help="Replace FILE if it is there.")
def backup(target: Path, with_key: bool, replaces: bool) -> None:
    """Write everything into one file, while jobs-app runs.

    It has jobs, runs, logs, people, tokens, secrets and the audit, as of one instant, for SQLite
    and PostgreSQL. FILE appears when it is whole. It works on the database itself, so run it where
    the server's settings are. Secrets stay encrypted; the key is in the file only with --with-key.
    The FILE - is standard output.

    \b
    Examples:
      jobs-app backup /backup/jobs-$(date +%F).gz
      jobs-app backup jobs.gz --with-key --replace
      docker compose exec -T web jobs-app backup - >jobs.gz
    """
    with settings_for_database() as settings:
        made = _write(settings, target, with_key=with_key, replaces=replaces)
        if made.has_key:
            print_note("The file has the key of the secrets: keep it as you keep a password.")
        elif made.encrypted:
            key = "JOBS_SECRET_KEY" if settings.secret_key else str(settings.secret_key_file)
            print_note(
                f"The file has no key. Its {counted(made.encrypted, 'encrypted value')} (secrets"
                f" and channels) can be read only with {key}: keep a copy of that elsewhere."
            )


def _write(settings: "Settings", target: Path, *, with_key: bool, replaces: bool) -> "Backup":
    """Write the backup to the file, or to standard output, and say so."""
    from jobs_app.jobs.backup import stream_backup, write_backup

    at = clock.now()
    if target != DASH:
        made = write_backup(settings, target, with_key=with_key, replaces=replaces, at=at)
        size = counted(made.bytes or 0, "byte")
        print_text(f"Wrote {counted(made.rows, 'row')}, {size}: {target}")
        return made
    stream = sys.stdout.buffer
    if stream.isatty():
        raise click.UsageError("A backup is no text for a terminal: name a file, or add >FILE.")
    made = stream_backup(settings, stream, with_key=with_key, at=at)
    stream.flush()
    # Standard output has the backup.
    print_note(f"Wrote {counted(made.rows, 'row')}.")
    return made


@contextmanager
def _source(path: Path) -> Iterator[IO[bytes]]:
    """Yield the file, or standard input."""
    if path != DASH:
        with path.open("rb") as file:
            yield file
    elif sys.stdin.isatty():
        raise click.UsageError("A backup does not come from a terminal: name a file, or add <FILE.")
    else:
        yield sys.stdin.buffer


@click.command()
@click.argument(
    "source", metavar="FILE", type=click.Path(path_type=Path, dir_okay=False, allow_dash=True)
)
@click.option(
    "--paused",
    "is_paused",
    is_flag=True,
    help="Pause all jobs and end all runs: for a copy beside the original.",
)
@click.option("--replace", "replaces", is_flag=True, help="Replace what the database has now.")
@click.option("--yes", "-y", is_flag=True, help="With --replace: do not ask.")
def restore(source: Path, is_paused: bool, replaces: bool, yes: bool) -> None:
    """Put a backup into the database, as a whole or not at all.

    Stop jobs-app first. The database must be empty; with --replace it need not. A backup of SQLite
    fits PostgreSQL and the reverse, and one of an older version is brought up to date. Fires since
    the backup are on record as missed; none of them runs. With --paused nothing starts before
    somebody resumes a job. The FILE - is standard input.
    """
    if replaces:
        confirm(
            "Replace everything in the database?",
            yes=yes,
            verb="replace it",
            refusal="Nothing was changed.",
        )
    from jobs_app.jobs.restore import restore as restore_backup

    with settings_for_database() as settings, _source(source) as stream:
        done = restore_backup(
            settings, stream, is_paused=is_paused, replaces=replaces, at=clock.now()
        )
    print_text(f"Restored {counted(done.rows, 'row')}, as of {done.header.made_at}.")
    if is_paused:
        print_text(
            f"Paused {counted(done.paused_jobs, 'job')}, and ended the runs that had not: nothing"
            " runs before `jobs-app job resume`."
        )
    elif done.late_jobs:
        print_text(
            f"{counted(done.late_jobs, 'job')} had fires since then: they are on record as"
            " missed, and do not run now."
        )
    if done.unreadable:
        print_note(
            f"{counted(done.unreadable, 'encrypted value')} (secrets and channels) cannot be read"
            " with the key here: put the key of the backup into secret-key or JOBS_SECRET_KEY."
        )
    if done.replaced is not None:
        print_note(f"The database as it was is in {done.replaced}: delete it when all is well.")
