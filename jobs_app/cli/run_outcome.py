"""What the person who started a run is told of it: its outcome, now or when it has ended."""

import json
import sys
from collections.abc import Callable
from typing import Any

import click

from jobs_app.cli.client import Client, Json
from jobs_app.cli.format import Duration, duration, plain
from jobs_app.cli.job_options import given_options, kwargs_from
from jobs_app.cli.log_follow import follow
from jobs_app.cli.output import print_json, print_note, print_text
from jobs_app.cli.wait import outcome_code, wait_for
from jobs_app.core.states import OverlapPolicy, RunState

# Of the log of a run that failed, shown with --wait.
TAIL_LINES = 20
TAIL_BYTES = 16_384


def start_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of a command that starts a run: why, beside what, and whether to wait."""
    for option in (
        click.option(
            "--follow", "-f", "is_followed", is_flag=True, help="With --wait: print what it writes."
        ),
        click.option(
            "--timeout", type=Duration(), help="With --wait: give up waiting after this long."
        ),
        click.option(
            "--wait", is_flag=True, help="Wait for the end; exit with the run's own outcome."
        ),
        click.option(
            "--overlap",
            type=click.Choice([policy.value for policy in OverlapPolicy]),
            help="Instead of the job's own policy, for this run.",
        ),
        click.option("--note", help="Why, kept with the run."),
    ):
        command = option(command)
    return command


def refuse_idle_options(
    *, wait: bool, timeout: float | None, is_followed: bool, as_json: bool
) -> None:
    """Raise a UsageError for options that would do nothing, or that contradict each other."""
    if timeout is not None and not wait:
        raise click.UsageError("--timeout needs --wait.")
    if is_followed and (as_json or not wait):
        raise click.UsageError("--follow needs --wait, and does not go with --json.")


def start_body(*, note: str | None, overlap: str | None) -> Json:
    """Return what the command says of a run that is to be started."""
    options = given_options()
    body: Json = {"note": note, "overlap_policy": overlap}
    if options.keys() & {"kwargs", "arguments"}:
        body["kwargs"] = kwargs_from(options)
    return {name: value for name, value in body.items() if value is not None}


def tell_start(started: Json, how: str, *, as_json: bool) -> None:
    """Say *how* a run was started that nobody waits for, and how to follow it."""
    if as_json:
        print_json(started)
    else:
        print_text(f"Run {started['id']} {how}.")
        print_note(f"Follow it with: jobs-app run log -f {started['id']}")


def see_through(
    client: Client, started: Json, *, timeout: float | None, is_followed: bool, as_json: bool
) -> None:
    """Wait until *started* has ended, tell how, and exit with its own outcome."""
    waiting = follow if is_followed else wait_for
    ended = waiting(client, started, timeout_seconds=timeout)
    if as_json:
        print_json(ended)
    elif is_followed:
        print_note(ending(ended))
    else:
        print_outcome(client, ended)
    sys.exit(outcome_code(ended))


def print_outcome(client: Client, ended: Json) -> None:
    """Say how a run ended, with the end of its log where that tells why."""
    took = ended.get("duration_seconds")
    after = f" after {duration(took)}" if took is not None else ""
    if ended["state"] == RunState.SUCCEEDED:
        print_text(f"Run {ended['id']} succeeded{after}.")
        if result := compact(ended.get("result")):
            print_text(f"Result: {result}")
        return
    lines = plain(client.text(f"/runs/{ended['id']}/log", tail=TAIL_BYTES)).splitlines()
    if len(lines) > TAIL_LINES:
        print_text(f"[the last {TAIL_LINES} lines]")
    if lines:
        print_text("\n".join(lines[-TAIL_LINES:]))
    why = ended.get("reason") or (error_text(ended.get("error")) or "").partition("\n")[0]
    state = ended["state"].replace("_", " ")
    print_text(f"Run {ended['id']} {state}{after}" + (f": {why}" if why else "."))


def ending(ended: Json) -> str:
    """Return how a run ended, and why if that is known, on one line."""
    why = ended.get("reason") or (error_text(ended.get("error")) or "").partition("\n")[0]
    line = f"Run {ended['id']}: {ended['state'].replace('_', ' ')}"
    return f"{line}, {why}" if why else line


def compact(value: Any) -> str | None:
    """Return a JSON value on one line, None for nothing worth showing."""
    if value is None or value == {}:
        return None
    return json.dumps(value, ensure_ascii=False)


def error_text(error: Json | None) -> str | None:
    """Return an error as a sentence, followed by its traceback if it has one."""
    if not error:
        return None
    first = f"{error.get('type') or 'Error'}: {error.get('message') or ''}".rstrip(": ")
    return "\n".join(filter(None, [first, error.get("traceback")]))
