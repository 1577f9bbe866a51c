"""`jobs-app import django-celery-beat`: jobs from the tables of django-celery-beat."""

from collections.abc import Mapping, Sequence
from typing import Any

import click

from jobs_app.cli.client import connect
from jobs_app.cli.commands.import_beat import beat_options, general_differences
from jobs_app.cli.failure import Failure
from jobs_app.cli.import_run import check_options, run_import
from jobs_app.cli.import_sources import BEAT
from jobs_app.cli.source_address import read_address, reading

ZONE_OF_TIMES = (
    "Times of the database without a zone are read in UTC, as Django writes them with USE_TZ.",
    "A crontab is in its own zone, as with DJANGO_CELERY_BEAT_TZ_AWARE=True, the default.",
)


@click.command("django-celery-beat", short_help="Tables of django-celery-beat.")
@click.argument("address", metavar="DATABASE_URL")
@beat_options
def django_celery_beat(address: str, **flags: Any) -> None:
    """Make jobs of django-celery-beat's periodic tasks; - reads the URL from standard input.

    DATABASE_URL is sqlite:///FILE, the FILE, or postgresql://USER:PASSWORD@HOST/NAME. Nothing
    is written there. The server must have the tasks (JOBS_IMPORTS), unless --send-to names the
    workers that have. The report names each entry: the job it becomes, what is not as in beat, or
    why it is refused. Then the command asks.

    \b
    Examples:
      jobs-app import django-celery-beat db.sqlite3 --dry-run
      echo "$DATABASE_URL" | jobs-app import django-celery-beat - --like-beat --yes
    """
    _import(read_address(address), **flags)


def _import(
    address: str,
    *,
    label: str | None,
    like_beat: bool,
    send_to: str | None,
    results_from: str | None,
    timezone: str | None,
    prefix: str,
    tags: Sequence[str],
    **flags: Any,
) -> None:
    # Late, for the start of other commands: Celery takes a while to import.
    from jobs_app.cli.periodic_sources import LIKE_BEAT, source_of, tasks_of, workers_of
    from jobs_app.core import clock
    from jobs_app.jobs.importers.django_beat_tables import entries_of

    check_options(prefix=prefix, zone=timezone or "UTC", label=label)
    workers = workers_of(send_to, results_from)
    place, tables = _read(address)
    source = source_of(
        entries_of(tables, at=clock.now()),
        title=place,
        form="tables of django-celery-beat",
        origin=f"django-celery-beat {label or place}",
        manner=BEAT,
        tasks=tasks_of(connect()),
        prefix=prefix,
        like_source=LIKE_BEAT if like_beat else {},
        workers=workers,
    )
    defaults = {"timezone": timezone or "UTC", "is_typed": timezone is not None, "tags": tags}
    run_import([source], defaults, [*general_differences([source]), *ZONE_OF_TIMES], **flags)


def _read(address: str) -> tuple[str, Mapping[str, Any]]:
    from jobs_app.jobs.importers.django_beat_tables import SCHEDULES, TASKS

    with reading(address) as database:
        present = database.tables()
        if TASKS not in present:
            raise Failure(f"{database.place} has no table {TASKS}.")
        names = [name for name in (TASKS, *SCHEDULES.values()) if name in present]
        return database.place, {name: database.rows(name, order="id") for name in names}
