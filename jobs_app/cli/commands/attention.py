"""`jobs-app attention`: what needs a person."""

import sys

import click

from jobs_app.cli.client import FAILED, connect
from jobs_app.cli.output import as_table, json_option, print_json
from jobs_app.cli.run_view import instant_text

_print_items = as_table(
    {
        "WHAT": lambda item: item["kind"],
        "OF": lambda item: item["job"] or item["queue"] or item["channel"] or "-",
        "SINCE": lambda item: instant_text(item["since"]),
        "WHY": lambda item: item["sentence"],
        "RUN": lambda item: item["run"] or "-",
    },
    empty="Nothing needs you.",
    droppable={"RUN"},
)


@click.command()
@click.option("--check", is_flag=True, help="Exit with 1 if there is anything.")
@json_option
def attention(check: bool, as_json: bool) -> None:
    """List what needs a person, the most urgent first."""
    answer = connect().read("/attention")
    (print_json if as_json else _print_items)(answer)
    if check and answer["items"]:
        sys.exit(FAILED)
