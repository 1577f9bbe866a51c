"""`jobs-app schedule`: what a schedule would do, before any job has it."""

import click

from jobs_app.cli.client import Json, connect
from jobs_app.cli.fire_table import print_fires
from jobs_app.cli.job_options import typed_options
from jobs_app.cli.output import (
    count_option,
    json_option,
    print_json,
    print_text,
    print_warnings,
)
from jobs_app.cli.schedule_json import fires_on_start
from jobs_app.cli.schedule_options import schedule_options, schedules_from
from jobs_app.cli.single_options import SingleOptionCommand
from jobs_app.jobs.document import KINDS


@click.group()
def schedule() -> None:
    """Try schedules out."""


@schedule.command(cls=SingleOptionCommand)
@click.argument("expression", required=False)
@schedule_options
@count_option
@json_option
def preview(expression: str | None, count: int, as_json: bool, **_: object) -> None:
    """Show the next fires of EXPRESSION, a cron expression, or of --every, --at or --on-start.

    Several of them are shown as the schedules of one job.

    \b
    Example:
      jobs-app schedule preview "*/5 9-17 * * MON-FRI" --timezone Europe/Paris
    """
    options = typed_options()
    if expression is not None:
        options["cron"] = (expression, *options.get("cron", ()))
    schedules = schedules_from(options)
    if not KINDS.keys() & schedules[0].keys():
        raise click.UsageError("Give a cron expression, or --every, --at or --on-start.")
    several: Json = {"schedules": schedules}
    body = several if len(schedules) > 1 else {"schedule": schedules[0]}
    answer = connect().post("/schedules/preview", body | {"count": count})
    if as_json:
        print_json(answer)
        return
    print_text(answer["description"])
    print_fires(answer["fires"], on_start=fires_on_start(several))
    print_warnings(answer["warnings"])
