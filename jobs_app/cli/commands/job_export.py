"""`jobs-app job export` and `import`: jobs as YAML, to be kept beside code."""

from collections.abc import Iterable, Sequence
from typing import Any

import click

from jobs_app.cli import import_prune
from jobs_app.cli.client import Client, Json, connect
from jobs_app.cli.completion import job_names
from jobs_app.cli.failure import USAGE, Failure, Unreachable
from jobs_app.cli.import_plan import Step, carry_out, plan, print_step
from jobs_app.cli.job_files import read_file
from jobs_app.cli.job_options import writable
from jobs_app.cli.output import dry_run_option, json_option, print_json, print_note, print_text
from jobs_app.cli.param_type import Choice
from jobs_app.cli.paths import job_path
from jobs_app.cli.schedule_json import without_empty_fields
from jobs_app.cli.standard_streams import go_on_without_output
from jobs_app.core.escape_sequences import plain
from jobs_app.core.states import JobState
from jobs_app.core.text import counted

#: An import names at most so many jobs that the server refuses.
MAX_REFUSED = 20


@click.command("export")
@click.argument("names", nargs=-1, metavar="[NAME]...", shell_complete=job_names)
@click.option(
    "--format",
    "as_format",
    type=Choice(["yaml", "crontab"]),
    default="yaml",
    show_default=True,
    help="crontab: lines for cron; what they cannot say is a comment, and a note.",
)
def export_jobs(names: tuple[str, ...], as_format: str) -> None:
    """Print jobs as YAML, all of them or those named; `apply` and `job import` read it back.

    Every field is written. The file does not hold runs, nor whether a job is paused.
    """
    client = connect()
    if names:
        jobs = [client.read(job_path(name)) for name in names]
    else:
        jobs = client.page("/jobs", limit=None)["items"]
    if not jobs:
        print_note("There are no jobs.")
        return
    # Always UTF-8, as YAML is: an escape of the terminal's encoding would be other text.
    text = _crontab(jobs) if as_format == "crontab" else _yaml(jobs)
    click.echo(text.encode("utf-8", "replace"), nl=False)


def _yaml(jobs: list[Json]) -> str:
    # PyYAML takes a while to import; the other commands do not need it.
    from jobs_app.cli.yaml_format import SCHEMA_LINE, write_jobs

    if paused := [job["name"] for job in jobs if job["state"] == JobState.PAUSED]:
        print_note(f"Paused, which the file does not hold: {', '.join(paused)}.")
    return SCHEMA_LINE + write_jobs([without_empty_fields(writable(job)) for job in jobs])


def _crontab(jobs: list[Json]) -> str:
    from jobs_app.jobs.crontab_export import crontab

    written = crontab(jobs)
    for note in written.notes:
        print_note(f"Note: {note}")
    return plain(written.text)


@click.command()
def schema() -> None:
    """Print the JSON Schema of files of jobs, for editors.

    Save it beside them as jobs.schema.json: the first line of an export names it.
    """
    from jobs_app.web.api.schemas.job_file import job_file_schema

    print_json(job_file_schema())


@click.command("import")
@click.argument("source", metavar="[FILE]", required=False)
@click.option(
    "--from-beat",
    "modules",
    multiple=True,
    metavar="MODULE",
    help="Make jobs of the periodic tasks that MODULE declares, as `jobs-app import beat` does.",
)
@click.option(
    "--prune",
    "is_pruned",
    is_flag=True,
    help="Delete the jobs that an earlier import with --prune made of this file, and that are no"
    " longer in it.",
)
@click.option(
    "--label",
    help="With --prune or --from-beat: the source under another name. By default its own.",
)
@click.option("--yes", "-y", is_flag=True, help="With --prune or --from-beat: do not ask.")
@click.option(
    "--observe",
    is_flag=True,
    help="With --from-beat: new jobs only watch, until job activate.",
)
@dry_run_option
@json_option
def import_jobs(
    source: str | None,
    modules: tuple[str, ...],
    is_pruned: bool,
    label: str | None,
    yes: bool,
    observe: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Create and change jobs so that they agree with a YAML file; - reads standard input.

    The file is a list of jobs, or a mapping of jobs by name. What it leaves out of a
    job takes its default. Jobs that it does not name are left alone, and nothing runs
    at once. If one job of the file is refused, none is changed.
    """
    if modules:
        if source is not None or is_pruned:
            raise click.UsageError("--from-beat goes without a FILE, and without --prune.")
        _import_from_beat(
            modules, label=label, observe=observe, dry_run=dry_run, yes=yes, as_json=as_json
        )
        return
    source = _checked_file(source, has_label=label is not None and not is_pruned, observe=observe)
    origin = import_prune.origin_label(source, label) if is_pruned else None
    jobs = read_file(source).jobs
    client = connect()
    steps = _dry_run_all(client, jobs, origin)
    names = {job["name"] for job in jobs}
    obsolete = import_prune.obsolete_jobs(client, origin, names) if origin else []
    if not dry_run:
        go_on_without_output()
        import_prune.confirm_prune(obsolete, source, yes=yes)
    report = [step.preview if dry_run else carry_out(client, step) for step in steps]
    if not dry_run:
        import_prune.prune(client, obsolete, as_json=as_json)
    done = zip(steps, report, strict=True)
    if as_json:
        print_json({"items": [*_items(done, dry_run=dry_run), *_deletions(obsolete)]})
        return
    for step, job in done:
        print_step(step, job, dry_run=dry_run)
    if dry_run:
        for job in obsolete:
            print_text(f"Would delete {job['name']}; its runs would stay on record.")
        print_note("Nothing was changed.")


def _items(done: Iterable[tuple[Step, Json]], *, dry_run: bool) -> list[Json]:
    return [
        {"name": step.document["name"], "action": step.action} | (job if dry_run else {"job": job})
        for step, job in done
    ]


def _deletions(jobs: Iterable[Json]) -> list[Json]:
    return [{"name": job["name"], "action": "delete"} for job in jobs]


def _checked_file(source: str | None, *, has_label: bool, observe: bool) -> str:
    """Return the name of the file; raises UsageError without one, or for options it lacks."""
    if observe:
        raise click.UsageError("--observe goes with --from-beat: in a FILE it is a field of a job.")
    if source is None:
        raise click.UsageError("Name a FILE; - is standard input.")
    if has_label:
        raise click.UsageError("--label goes with --prune or --from-beat.")
    return source


def _import_from_beat(modules: Sequence[str], **options: Any) -> None:
    # The other imports do not need it.
    from jobs_app.cli.commands.import_beat import import_modules

    import_modules(modules, paused=False, **options)


def _dry_run_all(client: Client, jobs: list[Json], origin: str | None) -> list[Step]:
    """Send each job as a dry run; raise Failure if the server refuses one.

    New jobs get the *origin*, unless the file names one.

    After MAX_REFUSED refusals, the rest is not sent.
    """
    steps, refused = [], 0
    for number, job in enumerate(jobs, 1):
        try:
            steps.append(plan(client, job, origin=origin))
        except Unreachable:
            raise
        except Failure as error:
            refused += 1
            print_note(f"{job['name']}: {error.message}")
            if refused == MAX_REFUSED and number < len(jobs):
                left = len(jobs) - number
                raise Failure(
                    f"{counted(refused, 'job')} were refused, and {left:,} more"
                    f" {'was' if left == 1 else 'were'} not tried; nothing was changed.",
                    USAGE,
                ) from error
    if refused:
        were = "was" if refused == 1 else "were"
        raise Failure(f"{counted(refused, 'job')} {were} refused; nothing was changed.", USAGE)
    return steps
