"""`jobs-app audit`: who changed what, and from where."""

import click

from jobs_app.cli.client import Json, connect
from jobs_app.cli.completion import job_names
from jobs_app.cli.output import any_of, as_table, json_or, limit_options
from jobs_app.cli.period_options import period_options
from jobs_app.cli.run_view import instant_text
from jobs_app.core.states import Via


def _object(event: Json) -> str:
    """Return the thing that was changed: a job, a run, or what the detail names."""
    if event["job_id"] is not None:
        return str(event["job"] or event["detail"].get("name") or f"job {event['job_id']}")
    if event["run_id"] is not None:
        return f"run {event['run_id']}"
    names = ("secret", "channel", "token", "person", "name", "request")
    return str(next((event["detail"][name] for name in names if name in event["detail"]), "-"))


@click.command()
@click.option("--job", shell_complete=job_names, help="Only what was done to this job.")
@click.option("--person", help="Only what this account did, whichever token it had.")
@any_of("--action", None, "Only events with one of these actions: pause,change.")
@any_of("--via", Via, "Only by one of these ways: api,cli.")
@period_options
@limit_options
@json_or(
    as_table(
        {
            "WHEN": lambda event: instant_text(event["at"]),
            "ACTION": lambda event: event["action"],
            "OF": _object,
            "BY": lambda event: event["actor"],
            "TOKEN": lambda event: str(event["token_id"] or "-"),
            "FROM": lambda event: event["remote_address"] or "-",
        },
        empty="No events.",
        droppable={"TOKEN"},
    )
)
def audit(limit: int | None, period: dict[str, str], **filters: str | None) -> Json:
    """List who changed what, and from which address, the newest first.

    BY is the name of the token, TOKEN its number. --json shows the values before and after.
    """
    return connect().page("/audit", limit=limit, **filters, **period)
