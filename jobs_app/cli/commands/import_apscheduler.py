"""`jobs-app import apscheduler`: jobs from the SQLAlchemy store of APScheduler 3."""

from collections.abc import Mapping, Sequence
from typing import Any

import click

from jobs_app.cli.client import connect
from jobs_app.cli.commands.import_beat import label_option
from jobs_app.cli.failure import Failure
from jobs_app.cli.import_run import check_options, import_options, run_import
from jobs_app.cli.import_sources import APSCHEDULER
from jobs_app.cli.source_address import read_address, reading

GENERAL = (
    "A misfire_grace_time of 1 s, the default, is starting_deadline_seconds here, 60 s by default.",
    "Of several fires that are late within it, each is a run or is skipped; with coalesce"
    " APScheduler starts one.",
    "When the clock is changed, APScheduler may start a time that comes twice twice, or one that is"
    " skipped at another time. Here a skipped time starts at the end of the gap, and a fixed one"
    " that comes twice starts once.",
    "Results are in the runs. Listeners of APScheduler hear nothing: see jobs-app channel add.",
)


@click.command(short_help="Jobs in APScheduler's SQLAlchemy store.")
@click.argument("address", metavar="DATABASE_URL")
@click.option("--table", default="apscheduler_jobs", show_default=True, help="The store's table.")
@label_option
@click.option("--like-apscheduler", is_flag=True, help="No time limit.")
@import_options
def apscheduler(address: str, table: str, **flags: Any) -> None:
    """Make jobs of those in APScheduler's SQLAlchemy store; - reads the URL from standard input.

    It is the store of APScheduler 3. DATABASE_URL is sqlite:///FILE, the FILE, or
    postgresql://USER:PASSWORD@HOST/NAME. Nothing is written there, and no code in its pickles
    is run. A job of the function shop.jobs:report becomes one of the task shop.jobs.report,
    which the server must have: @shared_task above the function, and JOBS_IMPORTS. The report
    names each job: what becomes of it, what is not as in APScheduler, or why it is refused.
    Then the command asks.

    \b
    Examples:
      jobs-app import apscheduler jobs.sqlite --dry-run
      echo "$DATABASE_URL" | jobs-app import apscheduler - --like-apscheduler --yes
    """
    _import(read_address(address), table, **flags)


def _import(
    address: str,
    table: str,
    *,
    label: str | None,
    like_apscheduler: bool,
    timezone: str | None,
    prefix: str,
    tags: Sequence[str],
    **flags: Any,
) -> None:
    # Late, for the start of other commands: Celery takes a while to import.
    from jobs_app.cli.periodic_sources import NO_LIMIT, source_of, tasks_of
    from jobs_app.core import clock
    from jobs_app.jobs.importers.apscheduler_jobs import entries_of

    check_options(prefix=prefix, zone=timezone or "UTC", label=label)
    place, rows = _read(address, table)
    source = source_of(
        entries_of(rows, at=clock.now()),
        title=place,
        form=f"jobs of APScheduler, table {table}",
        origin=f"apscheduler {label or f'{place} {table}'}",
        manner=APSCHEDULER,
        tasks=tasks_of(connect()),
        prefix=prefix,
        like_source=NO_LIMIT if like_apscheduler else {},
    )
    defaults = {"timezone": timezone or "UTC", "is_typed": timezone is not None, "tags": tags}
    run_import([source], defaults, GENERAL, **flags)


def _read(address: str, table: str) -> tuple[str, Sequence[Mapping[str, Any]]]:
    with reading(address) as database:
        if table not in database.tables():
            raise Failure(f"{database.place} has no table {table}.")
        rows = database.rows(table, order="id")
    if not all({"id", "job_state"} <= row.keys() for row in rows):
        raise Failure(f"The table {table} is not one of APScheduler.")
    return database.place, rows
