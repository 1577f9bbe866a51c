"""`jobs-app job list` and `show`."""

import click

from jobs_app.cli.client import connect
from jobs_app.cli.completion import job_names, queue_names, tag_names
from jobs_app.cli.fire_table import print_fires
from jobs_app.cli.job_view import job_fields, print_jobs
from jobs_app.cli.output import (
    any_of,
    choice_of,
    json_option,
    limit_options,
    print_fields,
    print_json,
    print_note,
    print_text,
)
from jobs_app.cli.paths import job_path
from jobs_app.cli.run_view import print_runs
from jobs_app.cli.schedule_json import fires_on_start
from jobs_app.core.states import JobSort, JobState, RunState, Standing


@click.command("list")
@any_of("--state", Standing, "Only jobs that stand so, in one of these ways: failing,late.")
@any_of("--last-state", RunState, "Only jobs whose last run is in one of these states.")
@click.option("--tag", shell_complete=tag_names, help="Only jobs with this tag.")
@click.option("--q", metavar="TEXT", help="Only jobs whose name or description holds TEXT.")
@click.option("--queue", shell_complete=queue_names, help="Only jobs of this queue.")
@click.option("--sort", type=choice_of(JobSort), help="In which order; by name if you do not say.")
@limit_options
@json_option
def list_jobs(limit: int | None, as_json: bool, sort: str | None, **filters: str | None) -> None:
    """List jobs, with their next and their last run."""
    page = connect().page("/jobs", limit=limit, sort=sort, **filters)
    if as_json:
        print_json(page)
    elif page["items"] or not any(filters.values()):
        print_jobs(page)
    else:
        print_note("No job is like that.")


@click.command()
@click.argument("name", shell_complete=job_names)
@json_option
def show(name: str, as_json: bool) -> None:
    """Show one job: its definition, its next fires and its latest runs."""
    client = connect()
    answer = client.read(job_path(name))
    if as_json:
        print_json(answer)
        return
    print_fields(job_fields(answer))
    if answer["state"] == JobState.ACTIVE and answer.get("schedule"):
        print_text("\nNext fires")
        fires = client.read(f"{job_path(name)}/next", count=3)["items"]
        print_fires(fires, on_start=fires_on_start(answer))
    print_text("\nLatest runs")
    latest = client.page("/runs", limit=5, job=name)["items"]
    print_runs({"items": latest}, of_one_job=True)
