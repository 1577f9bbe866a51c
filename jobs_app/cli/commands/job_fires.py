"""`jobs-app job next` and `job explain`: the fires to come, and why there was a run or none."""

import click

from jobs_app.cli.client import Json, connect
from jobs_app.cli.completion import job_names
from jobs_app.cli.fire_table import print_fires
from jobs_app.cli.job_view import outlook
from jobs_app.cli.output import (
    count_option,
    json_option,
    json_or,
    print_json,
    print_note,
    print_text,
)
from jobs_app.cli.paths import job_path


@click.command("next")
@click.argument("name", shell_complete=job_names)
@count_option
@json_option
def next_fires(name: str, count: int, as_json: bool) -> None:
    """Show when a job fires next."""
    client = connect()
    answer = client.read(f"{job_path(name)}/next", count=count)
    if as_json:
        print_json(answer)
    elif answer["items"]:
        print_fires(answer["items"])
    else:
        # Paused, without a schedule, or over: the job says which.
        print_note(f"No fire: {outlook(client.read(job_path(name)))}")


def _print_explanation(answer: Json) -> None:
    print_text(answer["sentence"])
    if line := answer["last_line"]:
        print_text(f"Its last line: {line}")


@click.command()
@click.argument("name", shell_complete=job_names)
@click.option(
    "--at",
    "when",
    metavar="TIME",
    help="A local time of the job's zone ('yesterday 02:30', 02:30, 'YYYY-MM-DD HH:MM'), a day"
    " (yesterday, YYYY-MM-DD), last night, 2h (ago) or an instant (RFC 3339).",
)
@json_or(_print_explanation)
def explain(name: str, when: str | None) -> Json:
    """Say why a job did, did not or will not run at a time.

    Without --at, this is the newest fire that is over, else the next one, and the newest
    run by hand if that is newer. A job without a schedule is explained by its newest run.

    \b
    Example:
      jobs-app job explain backup --at "yesterday 02:30"
    """
    return connect().read(f"{job_path(name)}/explain", at=when)
