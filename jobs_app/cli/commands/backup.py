"""`jobs-app backup` and `restore`: an installation in one file."""

from pathlib import Path

import click

from jobs_app.cli.commands.processes import settings_for_database
from jobs_app.cli.output import confirm, print_note, print_text
from jobs_app.core import clock
from jobs_app.core.text import counted


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

    \b
    Examples:
      jobs-app backup /backup/jobs-$(date +%F).gz
      jobs-app backup jobs.gz --with-key --replace
    """
    from jobs_app.jobs.backup import write_backup

    with settings_for_database() as settings:
        made = write_backup(settings, target, with_key=with_key, replaces=replaces, at=clock.now())
        print_text(f"Wrote {counted(made.rows, 'row')}, {counted(made.bytes, 'byte')}: {target}")
        if made.has_key:
            print_note("The file has the key of the secrets: keep it as you keep a password.")
        elif made.encrypted:
            key = "JOBS_SECRET_KEY" if settings.secret_key else str(settings.secret_key_file)
            print_note(
                f"The file has no key. Its {counted(made.encrypted, 'encrypted value')} (secrets"
                f" and channels) can be read only with {key}: keep a copy of that elsewhere."
            )


@click.command()
@click.argument("source", metavar="FILE", type=click.Path(path_type=Path, dir_okay=False))
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
    somebody resumes a job.
    """
    if replaces:
        confirm(
            "Replace everything in the database?",
            yes=yes,
            verb="replace it",
            refusal="Nothing was changed.",
        )
    from jobs_app.jobs.restore import restore as restore_backup

    with settings_for_database() as settings, source.open("rb") as stream:
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
