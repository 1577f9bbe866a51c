"""`jobs-app health`: whether the server is ready to work."""

import sys

import click

from jobs_app.cli.client import Answer, connect
from jobs_app.cli.failure import DOWN
from jobs_app.cli.outcome_text import compact
from jobs_app.cli.output import json_option, print_fields, print_json


@click.command()
@json_option
def health(as_json: bool) -> None:
    """Ask the server whether it is ready.

    The exit code is 0 if it serves requests, also degraded, without Redis or a
    scheduler for instance; else 6.
    """
    client = connect()
    answer = client.readiness()
    is_ready = 200 <= answer.status < 300
    if as_json:
        print_json(answer.body)
    else:
        print_fields({"Server": client.url, **_fields(answer)})
    if not is_ready:
        sys.exit(DOWN)


def _fields(answer: Answer) -> dict[str, str | None]:
    """Return the status and a line for each check of readyz, whichever checks it has."""
    body = answer.body if isinstance(answer.body, dict) else {}
    checks = body.get("checks")
    lines = checks.items() if isinstance(checks, dict) else ()
    return {
        "Status": str(body.get("status") or f"HTTP {answer.status}"),
        **{str(name).capitalize(): _verdict(check) for name, check in lines},
    }


def _verdict(check: object) -> str:
    """Return a check as a sentence: its status, then its other fields."""
    if not isinstance(check, dict):
        return str(check)
    more = [f"{name} {compact(value)}" for name, value in check.items() if name != "status"]
    return ", ".join([str(check.get("status")), *more])
