"""`jobs-app import beat`: jobs from the periodic tasks that code declares."""

from collections.abc import Sequence
from importlib import resources
from typing import TYPE_CHECKING, Any

import click

from jobs_app.cli.client import connect
from jobs_app.cli.failure import USAGE, Failure
from jobs_app.cli.import_run import check_options, import_options, run_import
from jobs_app.cli.import_sources import BEAT, Source
from jobs_app.cli.output import options, print_text

if TYPE_CHECKING:
    from jobs_app.jobs.importers.beat_modules import BeatApp

AFTER_OUTAGE = (
    "After an outage beat starts a task once for all fires that it missed, if it has kept the time"
    " of the last start. Here the last missed fire runs, if it is within the catch-up window, 24 h."
)
INTERVALS = (
    "An interval counts from the import, or from the last start if that is stored, at a fixed"
    " pace. beat counts from each start, and drifts."
)
CLOCK_CHANGES = (
    "When the clock is changed, beat starts a time that is skipped an hour later, and leaves out"
    " the hour that comes twice. Here a skipped time starts at the end of the gap, and hours that"
    " are written with * follow real time."
)
RESULTS = "Results are in the runs: no result backend gets them."
SENT_RESULTS = (
    "A run sends its task to your workers. With --results-from it waits for the task and takes a"
    " slot meanwhile; without, it succeeds when the broker has the message."
)
SENT_TO_DEFAULT = (
    "An entry without a queue is sent to the queue celery: task_default_queue and task_routes of"
    " your application are not stored there. If they name another queue: jobs-app job edit NAME"
    " --arg queue=QUEUE"
)

like_beat_option = click.option(
    "--like-beat", is_flag=True, help="No time limit, and runs may overlap."
)
label_option = click.option("--label", help="Name of the source here, for its later imports.")
send_to_option = click.option(
    "--send-to",
    metavar="SECRET",
    help="Make jobs of the task celery, which sends to the broker of your own workers. SECRET"
    " holds its URL.",
)
results_from_option = click.option(
    "--results-from",
    metavar="SECRET|rpc://",
    help="With --send-to: their result backend, so that runs wait for the tasks.",
)
beat_options = options(
    label_option, like_beat_option, send_to_option, results_from_option, import_options
)


def _print_script(context: click.Context, _parameter: click.Parameter, is_asked: bool) -> None:
    if is_asked:
        script = resources.files("jobs_app.jobs.importers") / "beat_dump.py"
        print_text(script.read_text(encoding="utf-8").rstrip())
        context.exit()


@click.command(short_help="Periodic tasks that code declares.")
@click.argument("modules", nargs=-1, metavar="[MODULE]...")
@click.option(
    "--from-json",
    type=click.Path(dir_okay=False, allow_dash=True),
    metavar="FILE|-",
    help="Read what the script has written, and import no module here.",
)
@click.option(
    "--print-script",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_script,
    help="Print a script, which writes the periodic tasks as JSON where beat runs.",
)
@beat_options
def beat(modules: tuple[str, ...], **flags: Any) -> None:
    """Make jobs of the periodic tasks that MODULEs declare; by default those of JOBS_IMPORTS.

    These are a beat_schedule, what add_periodic_task adds, and Django's CELERY_BEAT_SCHEDULE.
    The modules are imported here, from Python's path and the working directory. The server must
    have their tasks (JOBS_IMPORTS), unless --send-to names the workers that have. The report
    names each entry: the job it becomes, what is not as in beat, or why it is refused. Then the
    command asks.

    \b
    Examples:
      jobs-app import beat shop.celery --dry-run
      DJANGO_SETTINGS_MODULE=shop.settings jobs-app import beat shop.celery --like-beat --yes
      jobs-app import beat --from-json beat.json --send-to shop-broker --dry-run
    """
    import_modules(modules, **flags)


def import_modules(
    modules: Sequence[str],
    *,
    from_json: str | None = None,
    label: str | None = None,
    like_beat: bool = False,
    send_to: str | None = None,
    results_from: str | None = None,
    timezone: str | None = None,
    prefix: str = "",
    tags: Sequence[str] = (),
    **flags: Any,
) -> None:
    """Import the periodic tasks of *modules*, or those in the JSON of the script.

    Raises Failure if they cannot be read.
    """
    # Late, for the start of other commands: Celery takes a while to import.
    from jobs_app.cli.periodic_sources import LIKE_BEAT, source_of, tasks_of, workers_of

    check_options(prefix=prefix, zone=timezone or "UTC", label=label)
    workers = workers_of(send_to, results_from)
    if from_json is not None and modules:
        raise click.UsageError("--from-json takes the place of MODULEs.")
    apps = _read(modules) if from_json is None else _read_json(from_json)
    if label is not None and len(apps) > 1:
        raise click.UsageError("--label is for one source, and these are several applications.")
    tasks = tasks_of(connect())
    sources = [
        source_of(
            app.entries,
            title=app.home,
            form=f"periodic tasks of the Celery application {app.name!r}",
            origin=f"beat {label or app.home}",
            manner=BEAT,
            tasks=tasks,
            prefix=prefix,
            like_source=LIKE_BEAT if like_beat else {},
            workers=workers,
            notes=[app.note] if app.note else [],
        )
        for app in apps
    ]
    zones = [app.timezone for app in apps if app.timezone]
    defaults = {
        "timezone": timezone or next(iter(zones), "UTC"),
        "is_typed": timezone is not None,
        "tags": tags,
    }
    run_import(sources, defaults, general_differences(sources, has_routes=True), **flags)


def _read(modules: Sequence[str]) -> "list[BeatApp]":
    """Return the applications of *modules*, else of JOBS_IMPORTS; raises Failure without any."""
    from jobs_app.cli.commands.processes import read_settings
    from jobs_app.core import clock
    from jobs_app.jobs.importers.beat_modules import read_modules
    from jobs_app.tasks.user_apps import BrokenModule

    if not modules:
        with read_settings() as settings:
            modules = settings.import_modules
    if not modules:
        raise click.UsageError("Name a module, or set JOBS_IMPORTS.")
    try:
        apps = read_modules(modules, at=clock.now())
    except BrokenModule as error:
        raise Failure(_sentence(error, modules), USAGE) from error
    if not apps:
        raise Failure(
            f"No periodic task is declared in {', '.join(modules)}. Name the module that has the"
            " Celery application, as shop.celery."
        )
    return apps


def _read_json(file: str) -> "list[BeatApp]":
    """Return the applications in *file*, - for standard input; raises Failure without any."""
    # Late, as above.
    from jobs_app.core import clock
    from jobs_app.jobs.importers.beat_json import read_dump

    try:
        with click.open_file(file, "rb") as opened:
            apps = read_dump(opened.read(), at=clock.now())
    except OSError as error:
        raise Failure(f"{file} cannot be read: {error.strerror}.", USAGE) from error
    except ValueError as error:
        raise Failure(
            f"{file} cannot be read. {error} Run the script of jobs-app import beat"
            " --print-script where beat runs, and give what it writes.",
            USAGE,
        ) from error
    if not apps:
        raise Failure(
            f"No periodic task is in {file}. Give the script the module that has the Celery"
            " application, as shop.celery."
        )
    return apps


def general_differences(sources: Sequence[Source], *, has_routes: bool = False) -> list[str]:
    """Return what differs from beat for all of its periodic tasks of the kinds in *sources*.

    With *has_routes* the source knows the queues that its application gives to tasks.
    """
    # Late, as above.
    from jobs_app.jobs.importers.periodic_entry import CELERY_TASK

    drafts = [item.draft for source in sources for item in source.items if item.draft]
    has_interval = any("interval_seconds" in draft.schedule for draft in drafts)
    has_zone = any("cron" in draft.schedule and draft.timezone != "UTC" for draft in drafts)
    chosen = ((True, AFTER_OUTAGE), (has_interval, INTERVALS), (has_zone, CLOCK_CHANGES))
    is_sent = any(draft.task == CELERY_TASK for draft in drafts)
    has_default = not has_routes and any(
        draft.task == CELERY_TASK and "queue" not in draft.kwargs for draft in drafts
    )
    results = [SENT_RESULTS if is_sent else RESULTS, *[SENT_TO_DEFAULT] * has_default]
    return [*(sentence for applies, sentence in chosen if applies), *results]


def _sentence(error: Exception, modules: Sequence[str]) -> str:
    text, cause = str(error).replace(" of JOBS_IMPORTS", ""), error.__cause__
    if not isinstance(cause, ModuleNotFoundError) or cause.name is None:
        return text
    if any(f"{module}.".startswith(f"{cause.name}.") for module in modules):
        return f"{text} Start the command in the directory that has it, or set PYTHONPATH."
    return (
        f"{text} A module needs {cause.name!r}, which this environment does not have: install it"
        " here, or set PYTHONPATH. Or read the tasks where beat runs: jobs-app import beat"
        " --print-script (docs/beat.md#another-environment)."
    )
