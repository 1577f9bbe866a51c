"""`jobs-app import`: jobs from the schedules of other programs."""

import getpass
import socket
from collections.abc import Iterator

import click

from jobs_app.cli.client import Client, Json, connect
from jobs_app.cli.commands.import_apscheduler import apscheduler
from jobs_app.cli.commands.import_beat import beat
from jobs_app.cli.commands.import_django_beat import django_celery_beat
from jobs_app.cli.commands.import_redbeat import redbeat
from jobs_app.cli.completion import channel_names
from jobs_app.cli.import_mail import mail_sentence, output_rules
from jobs_app.cli.import_run import check_options, import_options, run_import
from jobs_app.cli.import_sources import Source

#: The fields of a job that treats runs as cron does.
LIKE_CRON: Json = {
    "time_limit_seconds": None,
    "soft_time_limit_seconds": None,
    "overlap_policy": "allow_all",
    "catchup_policy": "none",
}


@click.group()
def import_group() -> None:
    """Make jobs from the schedules of other programs."""


@import_group.command(short_help="Lines of crontabs.")
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option(
    "--system/--user",
    "is_system",
    default=None,
    help="Whether each line names an account before its command, as in /etc/crontab.",
)
@click.option("--label", help="Name of the file here; by default the host and its path.")
@click.option(
    "--like-cron",
    is_flag=True,
    help="No time limit, runs may overlap, no catch-up, and output goes to the default channels.",
)
@click.option(
    "--mail-channel",
    shell_complete=channel_names,
    metavar="CHANNEL",
    help="Send output to this channel where cron mails it.",
)
@import_options
def crontab(
    files: tuple[str, ...],
    is_system: bool | None,
    label: str | None,
    like_cron: bool,
    mail_channel: str | None,
    timezone: str | None,
    prefix: str,
    tags: tuple[str, ...],
    **flags: bool,
) -> None:
    """Make jobs of the lines of crontabs; - reads standard input.

    FILE is the crontab of a person, /etc/crontab, a file of /etc/cron.d, or that directory.
    The report names each line: the job it becomes, what is not as in cron, or why it is
    refused. Then the command asks. Importing the same file again changes only the jobs whose
    lines have changed.

    \b
    Examples:
      crontab -l | jobs-app import crontab - --dry-run
      crontab -l | jobs-app import crontab - --like-cron --yes
      jobs-app import crontab /etc/crontab /etc/cron.d --prefix web1- --tag web1
    """
    zone = timezone or _machine_zone()
    check_options(prefix=prefix, zone=zone, label=label, sources=len(files))
    client = connect()
    sources = _crontab_sources(client, files, is_system, label, zone=zone, prefix=prefix)
    rules = output_rules(client, mail_channel, is_like_cron=like_cron)
    general = [
        mail_sentence(rules, is_like_cron=like_cron),
        *_path_sentences(sources),
        f"Times are in {zone}, {_zone_reason(timezone)}, where no CRON_TZ says otherwise.",
    ]
    run_import(
        sources,
        {
            "timezone": zone,
            "is_typed": timezone is not None,
            "overrides": LIKE_CRON if like_cron else {},
            "tags": tags,
            "output_rules": rules,
        },
        general,
        **flags,
    )


def _crontab_sources(
    client: Client,
    names: tuple[str, ...],
    is_system: bool | None,
    label: str | None,
    *,
    zone: str,
    prefix: str,
) -> list[Source]:
    # Late, for the start of other commands: the schedules need cronsim.
    from jobs_app.cli.crontab_files import STDIN, read_files
    from jobs_app.cli.crontab_sources import allowed_accounts, source_of

    files = read_files(names, is_system=is_system)
    if label is not None and len(files) > 1:
        raise click.UsageError("--label is for one file.")
    host = socket.gethostname()
    has_accounts = any(file.is_system for file in files)
    accounts = allowed_accounts(client) if has_accounts else frozenset[str]()
    return [
        source_of(
            file,
            label or f"{host}:{getpass.getuser() if file.path == STDIN else file.path}",
            zone=zone,
            prefix=prefix,
            accounts=accounts,
        )
        for file in files
    ]


def _path_sentences(sources: list[Source]) -> Iterator[str]:
    """Yield how PATH differs, if any line is below no PATH of its own."""
    drafts = [item.draft for source in sources for item in source.items if item.draft is not None]
    if any("PATH" not in (draft.kwargs.get("env") or {}) for draft in drafts):
        yield "PATH is longer than cron's /usr/bin:/bin where the crontab sets none."


def _machine_zone() -> str:
    from jobs_app.schedules.machine_zone import machine_zone

    zone = machine_zone()
    if zone is None:
        raise click.UsageError("This machine names no time zone: give the crontab's (--timezone).")
    return zone


def _zone_reason(typed: str | None) -> str:
    return "as --timezone says" if typed else "the zone of this machine (--timezone for another)"


import_group.add_command(beat)
import_group.add_command(redbeat)
import_group.add_command(django_celery_beat)
import_group.add_command(apscheduler)
