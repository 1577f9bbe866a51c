"""`jobs-app run`: list, show, log, cancel, retry."""

import sys
from contextlib import suppress
from typing import Any

import click

from jobs_app.cli.client import Client, Json, connect
from jobs_app.cli.completion import (
    job_names,
    run_or_job_names,
    tag_names,
    unfinished_run_or_job_names,
)
from jobs_app.cli.failure import NO_SUCH, Failure
from jobs_app.cli.job_options import kwargs_options
from jobs_app.cli.log_follow import follow
from jobs_app.cli.outcome_text import outcome_line
from jobs_app.cli.output import (
    any_of,
    choice_of,
    json_option,
    json_or,
    limit_options,
    on_terminal,
    print_json,
    print_note,
    print_text,
)
from jobs_app.cli.paths import job_path, run_path
from jobs_app.cli.period_options import period_options
from jobs_app.cli.run_ids import run_id_of, unfinished_run_id_of
from jobs_app.cli.run_outcome import last_lines, start_options, start_run
from jobs_app.cli.run_view import print_run, print_runs
from jobs_app.cli.wait import outcome_code
from jobs_app.core.states import CancelMode, RunState, Trigger
from jobs_app.core.text import counted

#: Nothing makes a backfill yet.
TRIGGERS = [trigger for trigger in Trigger if trigger is not Trigger.BACKFILL]


@click.group()
def run() -> None:
    """Look at runs, cancel and repeat them."""


@run.command("list")
@click.option("--job", shell_complete=job_names, help="Only runs of this job.")
@click.option("--tag", shell_complete=tag_names, help="Only runs of jobs with this tag.")
@any_of("--state", RunState, "Only in one of these states: failed,lost.")
@any_of("--trigger", TRIGGERS, "Only started by one of these: manual,retry_of.")
@click.option("--by", help="Only started by this person or token, as `run show` names it.")
@period_options
@limit_options
@json_option
def list_runs(
    period: dict[str, str],
    limit: int | None,
    as_json: bool,
    **filters: str | None,
) -> None:
    """List runs, the newest first."""
    client = connect()
    page = client.page("/runs", limit=limit, **filters, **period)
    (print_json if as_json else print_runs)(page)
    if not (as_json or page["items"]) and filters.get("job"):
        _note_missing_job(client, str(filters["job"]))


def _note_missing_job(client: Client, job: str) -> None:
    """Say that there is no such job: else a wrong name looks like a job without runs."""
    try:
        client.get(job_path(job))
    except Failure as failure:
        if failure.exit_code == NO_SUCH:
            print_note(failure.message)


id_or_job_argument = click.argument("run_id", metavar="ID|JOB", shell_complete=run_or_job_names)


@run.command()
@id_or_job_argument
@json_option
def show(run_id: str, as_json: bool) -> None:
    """Show one run: its times, its attempts, its result or error, and its notifications.

    The name of a job means its newest run.
    """
    client = connect()
    answer = client.read(run_path(run_id_of(client, run_id)))
    if as_json:
        print_json(answer)
        return
    lines = []
    if answer["state"] in (RunState.FAILED, RunState.TIMED_OUT, RunState.LOST):
        # The run is shown also where its log cannot be read.
        with suppress(Failure):
            lines = last_lines(client, answer, 1)
    print_run(answer, last_line=lines[-1] if lines else None)


@run.command()
@id_or_job_argument
@click.option("--attempt", type=click.IntRange(min=1), help="Of this attempt; else the newest.")
@click.option("--tail", metavar="BYTES", type=click.IntRange(min=0), help="Only the end of it.")
@click.option(
    "--follow",
    "-f",
    "is_followed",
    is_flag=True,
    help="Print it as it is written, all attempts; exit with the run's own outcome.",
)
@click.option("--timestamps", is_flag=True, help="With --follow: when each line was written.")
def log(
    run_id: str, attempt: int | None, tail: int | None, is_followed: bool, timestamps: bool
) -> None:
    """Print what a run wrote, as it wrote it; on a terminal without control characters.

    The name of a job means its newest run.
    """
    if is_followed and (attempt is not None or tail is not None):
        raise click.UsageError("--follow shows all of it: leave out --attempt and --tail.")
    if timestamps and not is_followed:
        raise click.UsageError("--timestamps needs --follow.")
    client = connect()
    run_id = _named_run(client, run_id)
    if is_followed:
        run = follow(client, client.read(run_path(run_id)), timestamps=timestamps)
        print_note(outcome_line(run))
        sys.exit(outcome_code(run))
    text = client.text(f"{run_path(run_id)}/log", attempt=attempt, tail=tail)
    if not text:
        _explain_no_log(client.read(run_path(run_id)), attempt)
    if on_terminal():
        print_text(text.removesuffix("\n"))
    else:
        # As bytes: a log that a program reads keeps every byte, line ends included.
        click.echo(text.encode("utf-8", "surrogatepass"), nl=False)


def _named_run(client: Client, text: str) -> str:
    """Return the run that *text* names; say which one it is if that is the newest of a job."""
    run_id = run_id_of(client, text)
    if not run_id.replace("-", "").startswith(text.replace("-", "").lower()):
        print_note(f"The newest run of {text} is {run_id}.")
    return run_id


def _explain_no_log(run: Json, attempt: int | None) -> None:
    """Say why a run has no log, if that is not just silence; raise Failure without the attempt."""
    if attempt is not None and attempt > run["attempt"]:
        had = counted(run["attempt"], "attempt")
        raise Failure(f"There is no attempt {attempt}: this run has had {had}.", NO_SUCH)
    if (run.get("log") or {}).get("deleted"):
        print_note("Its log is no longer kept: see keep_log_days.")


def _print_cancelled(run: Json) -> None:
    if run["state"] == RunState.CANCELLED:
        print_text(f"Run {run['id']} is cancelled.")
    else:
        print_text(f"Run {run['id']} is {run['state']}; its worker will end it.")
        print_note(f"See how it ends with: jobs-app run show {run['id']}")


@run.command()
@click.argument("run_id", metavar="ID|JOB", shell_complete=unfinished_run_or_job_names)
@click.option(
    "--mode",
    type=choice_of(CancelMode),
    help="TERM and the job's grace (the default), or KILL at once.",
)
@click.option("--reason", help="Why; shown with the run.")
@json_or(_print_cancelled)
def cancel(run_id: str, **options: str | None) -> Json:
    """Cancel a run that has not ended.

    The name of a job means its only run that has not ended.
    """
    body = {name: value for name, value in options.items() if value is not None}
    client = connect()
    run = client.post(f"{run_path(unfinished_run_id_of(client, run_id))}/cancel", body)
    if "reason" in body and run["reason"] != body["reason"]:
        # After a kill, a graceful cancel changes nothing.
        print_note(f"It was asked to end before: its reason stays {run['reason']!r}.")
    return run


@run.command()
@id_or_job_argument
@kwargs_options
@start_options
@json_option
def retry(run_id: str, **options: Any) -> None:
    """Repeat a run that has ended, as a new run.

    The arguments are those of the old run, with --arg on top. The queue, limits and
    policies are those of its job as it is now. A skipped or missed run is run now.
    The name of a job means its newest run.
    """
    run_id = run_id_of(connect(), run_id)
    start_run(f"{run_path(run_id)}/retry", f"repeats {run_id} and is", **options)
