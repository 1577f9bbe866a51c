"""`jobs-app health`: whether the server is ready to work."""

import sys

import click

from jobs_app.cli.client import DOWN, connect
from jobs_app.cli.output import json_option, print_fields, print_json


@click.command()
@json_option
def health(as_json: bool) -> None:
    """Ask the server whether it is ready; exit with 0 if so, else with 6."""
    client = connect()
    answer = client.readiness()
    is_ready = 200 <= answer.status < 300
    if as_json:
        print_json(answer.body)
    else:
        print_fields({"Server": client.url, "Ready": "yes" if is_ready else "no"})
        print_fields(_checks(answer.body))
    if not is_ready:
        sys.exit(DOWN)


def _checks(body: object) -> dict[str, str | None]:
    """Return what readyz says of each part, whichever parts it names."""
    checks = body.get("checks", body) if isinstance(body, dict) else {}
    if not isinstance(checks, dict):
        return {}
    return {str(name): _verdict(check) for name, check in checks.items()}


def _verdict(check: object) -> str:
    if isinstance(check, dict):
        return ", ".join(f"{name}: {_verdict(value)}" for name, value in check.items())
    if isinstance(check, bool):
        return "yes" if check else "no"
    return str(check)
