"""The commands that run the product: everything at once, or one process of it.

Flask, SQLAlchemy and Celery take a second to import, so each command imports
what it runs in its own body.
"""

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from jobs_app.cli.failure import CONFLICT, DOWN, FAILED, NO_SUCH, USAGE
from jobs_app.cli.param_type import Choice
from jobs_app.cli.single_options import SingleOptionCommand
from jobs_app.core import clock, process
from jobs_app.core.errors import (
    ConfigurationError,
    Conflict,
    InvalidInput,
    JobsError,
    NotFound,
    Unavailable,
)
from jobs_app.core.process import protect_memory
from jobs_app.core.text import counted
from jobs_app.up.parent_death import DEATH_PIPE_VARIABLE, die_with_parent

EXIT_CODES = {
    ConfigurationError: USAGE,
    InvalidInput: USAGE,
    NotFound: NO_SUCH,
    Conflict: CONFLICT,
    Unavailable: DOWN,
}

if TYPE_CHECKING:
    from pydantic import ValidationError

    from jobs_app.core.settings import Settings


def _checked_settings(overrides: Mapping[str, object], *, checks_files: bool) -> "Settings":
    """Return the settings of the environment, with the options that were typed on top.

    Without *checks_files* nobody looks at the files of the data directory.
    """
    from pydantic import ValidationError

    from jobs_app.core.own_files import open_data_dir
    from jobs_app.core.settings import Settings

    options = {name: value for name, value in overrides.items() if value is not None}
    try:
        settings = Settings(**options)  # type: ignore[arg-type]  # pydantic checks the values
    except ValidationError as error:
        raise ConfigurationError(_sentence(error)) from error
    if checks_files:
        open_data_dir(settings.data_dir)
    return settings


def _sentence(error: "ValidationError") -> str:
    """Return which settings are wrong and why, without their values: these may be secrets."""
    from jobs_app.core.validation_messages import faults

    return "\n".join(
        # A variable is text: that it is no other type says nothing.
        f"JOBS_{'_'.join(map(str, fault.place)).upper()} {fault.text}".replace(", not a string", "")
        for fault in faults(error, tuple)
    )


@contextmanager
def read_settings(
    overrides: Mapping[str, object] | None = None, *, checks_files: bool = True
) -> Iterator["Settings"]:
    """Yield the settings; an error of ours ends the command with a sentence."""
    try:
        yield _checked_settings(overrides or {}, checks_files=checks_files)
    except JobsError as error:
        click.echo(f"jobs-app: {error.detail}", err=True)
        sys.exit(EXIT_CODES.get(type(error), FAILED))


@contextmanager
def settings_for_database() -> Iterator["Settings"]:
    """Yield the settings to a command that works on the database itself.

    An outage of the database, and a file that cannot be written, end it with a sentence.
    """
    with read_settings() as settings:
        try:
            yield settings
        except Exception as error:
            if sentence := _outage_sentence(error):
                raise Unavailable(sentence) from error
            raise


def _outage_sentence(error: Exception) -> str:
    """Return *error* in words if it is an outage; "" for other errors.

    An OSError without the name of a file is one of the output: `run_with_output` reports it.
    """
    if isinstance(error, OSError):
        return f"{error.filename}: {error.strerror}." if error.filename else ""
    from jobs_app.db.errors import describe_outage, is_outage

    outage = describe_outage(error)
    return f"{outage.cause}. {outage.remedy}" if is_outage(error) else ""


@contextmanager
def _server_settings(**overrides: object) -> Iterator["Settings"]:
    """Yield the settings to a process that serves; prepare the process first."""
    # `up` has said it before.
    is_alone = DEATH_PIPE_VARIABLE not in os.environ
    protect_memory()
    with read_settings(overrides) as settings:
        from jobs_app.core import handed_settings

        handed_settings.take_from_environment(settings.secret_fields())
        die_with_parent()
        process.pause_gc()
        if is_alone:
            _warn_of_typos(settings)
        yield settings


def _warn_of_typos(settings: "Settings") -> None:
    from jobs_app.up.checks import warn_of_typos
    from jobs_app.up.programs import announce_as_json

    if settings.logs_json:
        announce_as_json()
    warn_of_typos(os.environ, process=click.get_current_context().info_name or "jobs-app")


@click.command()
@click.option("--demo", is_flag=True, help="Add three jobs worth looking at.")
@click.option("--host", help="Address to listen on (JOBS_HOST).")
@click.option("--port", type=int, help="Port to listen on (JOBS_PORT).")
@click.option(
    "--data-dir",
    type=click.Path(file_okay=False, path_type=Path, resolve_path=True),
    help="Directory of the database, Valkey and the admin token (JOBS_DATA_DIR).",
)
@click.option("--open", "opens", is_flag=True, help="Open the first page in a browser.")
@click.option(
    "--reload",
    "reloads",
    is_flag=True,
    help="Start anew when the code of your tasks changes; runs under way end with the old code.",
)
def up(
    demo: bool,
    host: str | None,
    port: int | None,
    data_dir: Path | None,
    opens: bool,
    reloads: bool,
) -> None:
    """Run everything on this machine: database, Valkey, scheduler, worker, web server."""
    protect_memory()
    with read_settings({"host": host, "port": port, "data_dir": data_dir}) as settings:
        from jobs_app.up.command import up as supervise

        sys.exit(supervise(settings, demo=demo, opens_browser=opens, reloads=reloads))


@click.command()
@click.option("--host", help="Address to listen on (JOBS_HOST).")
@click.option("--port", type=int, help="Port to listen on (JOBS_PORT).")
def web(host: str | None, port: int | None) -> None:
    """Run the web server: the API, and the page that shows it."""
    # `up` has printed the link of the first admin before.
    is_alone = DEATH_PIPE_VARIABLE not in os.environ
    with _server_settings(host=host, port=port) as settings:
        from jobs_app.up.banner import print_link
        from jobs_app.up.programs import announce_as_json
        from jobs_app.web.server import serve

        if settings.logs_json:
            announce_as_json()
        sys.exit(serve(settings, show_link=print_link if is_alone else None))


@click.command(cls=SingleOptionCommand)
@click.option("--queues", help="Queues to serve, separated by commas (JOBS_WORKER_QUEUES).")
@click.option("--concurrency", type=int, help="Runs at once (JOBS_WORKER_CONCURRENCY).")
@click.option(
    "--pool",
    type=Choice(["prefork", "threads", "solo"]),
    help="Celery's pool (JOBS_WORKER_POOL).",
)
@click.option("--name", help="Name of this worker, unique among all (JOBS_WORKER_NAME).")
def worker(queues: str | None, concurrency: int | None, pool: str | None, name: str | None) -> None:
    """Run a worker, which executes the runs of its queues."""
    with _server_settings(
        worker_queues=queues, worker_concurrency=concurrency, worker_pool=pool, worker_name=name
    ) as settings:
        from jobs_app.worker.main import main

        sys.exit(main(settings))


@click.command()
def scheduler() -> None:
    """Run a scheduler; one is active, others stand by."""
    with _server_settings() as settings:
        from jobs_app.scheduler.main import main

        sys.exit(main(settings))


@click.command("migrate")
@click.option(
    "--to",
    "target",
    metavar="REVISION",
    default="head",
    show_default=True,
    help="Revision to go to; an older one loses what only the newer schema holds.",
)
def migrate(target: str) -> None:
    """Bring the database to the newest revision, or to the one of --to."""
    with settings_for_database() as settings:
        from jobs_app.db.migrations import migrate as move_to

        before, after = move_to(settings, target)
    if before == after:
        click.echo(f"The database is at revision {after or 'base'} already.")
    else:
        click.echo(f"Migrated the database from {before or 'base'} to {after or 'base'}.")


@click.command()
@click.option(
    "--drop-old",
    is_flag=True,
    help="Take the older keys out of the file; older backups then cannot be read.",
)
def rotate(drop_old: bool) -> None:
    """Encrypt all secrets anew, with a new key.

    Run it where the server runs: it needs the database and the key. It writes a new key
    into the file secret-key, before the older ones. If JOBS_SECRET_KEY is set, its first
    key is used: first put a new one before it, with a comma, in every process. If the
    command is interrupted, call it again: it goes on with the same key.
    """
    with settings_for_database() as settings:
        from jobs_app.secrets.rotation import rotate_keys

        count = rotate_keys(settings, drops_old=drop_old, by="jobs-app", at=clock.now())
    click.echo(f"Encrypted {counted(count, 'value')} anew, with the new key.")
    if settings.secret_key is None:
        click.echo(
            f"It is the first in {settings.secret_key_file}: copies of that file are old.", err=True
        )
    else:
        click.echo("The older keys in JOBS_SECRET_KEY are needed for older backups only.", err=True)
