"""`jobs-app job create` and `edit`."""

import sys
from functools import partial

import click

from jobs_app.cli.client import Answer, connect
from jobs_app.cli.completion import job_names
from jobs_app.cli.job_diff import print_changes
from jobs_app.cli.job_editor import edit_by_hand
from jobs_app.cli.job_options import (
    definition_options,
    job_patch,
    overlaid,
    read_document,
    typed_options,
    with_options,
    writable,
)
from jobs_app.cli.job_view import outlook, print_effect
from jobs_app.cli.option_sections import JobCommand
from jobs_app.cli.output import (
    dry_run_option,
    json_option,
    print_json,
    print_note,
    print_text,
    print_warnings,
)
from jobs_app.cli.paths import job_path

name_argument = click.argument("name", shell_complete=job_names)


@click.command(cls=JobCommand)
@click.argument("name", required=False)
@definition_options
@click.option("--from", "source", metavar="FILE", help="Start from a JSON file, or - for stdin.")
@dry_run_option
@json_option
def create(name: str | None, source: str | None, dry_run: bool, as_json: bool, **_: object) -> None:
    """Create a job.

    \b
    Examples:
      jobs-app job create backup --command 'backup.sh' --cron '30 2 * * *' --timezone Europe/Paris
      jobs-app job create ping --task http --arg url=https://example.org --every 5m
      jobs-app job create report --command report.sh --cron '0 9 * * 1-5' --cron '0 12 * * 6'
      jobs-app job show ping --json | jobs-app job create ping2 --from -
    """
    options = typed_options()
    definition = with_options(read_document(source) if source else {}, options)
    if name is not None:
        definition["name"] = name
    if "name" not in definition:
        raise click.UsageError("Give the job a name.")
    if "task" not in definition:
        raise click.UsageError("Say what it runs: --command COMMAND, or --task TASK.")
    answer = connect().send("POST", "/jobs", body=definition, params={"dry_run": dry_run or None})
    _report(answer, "Created", dry_run=dry_run, as_json=as_json)


@click.command(cls=JobCommand)
@name_argument
@definition_options
@click.option("--from", "source", metavar="FILE", help="Take these fields from a JSON file, or -.")
@dry_run_option
@json_option
def edit(name: str, source: str | None, dry_run: bool, as_json: bool, **_: object) -> None:
    """Change a job; without options, in your editor ($EDITOR), as YAML.

    Only what differs is sent. If somebody else changes the job at the same
    time, nothing is changed and the exit code is 4.
    """
    options = typed_options()
    client = connect()
    current = client.get(job_path(name))
    before = writable(current.body)
    params = {"dry_run": dry_run or None}
    send = partial(client.send, path=job_path(name), params=params, if_match=current.etag)
    if options.keys() - {"name", "dry_run", "as_json"}:
        after = with_options(overlaid(before, read_document(source) if source else {}), options)
        changes = job_patch(before, after)
        answer = send("PATCH", body=changes) if changes else None
    elif not has_terminal():
        raise click.UsageError("There is no terminal for an editor: use options, or --from FILE.")
    else:
        answer = edit_by_hand(before, lambda document: send("PUT", body=document))
    if answer is None:
        if as_json:
            # The job as it stays, or the effect of no change.
            print_json((send("PATCH", body={}) if dry_run else current).body)
        print_note("Nothing to change.")
        return
    if dry_run and not as_json:
        print_text("It would change:")
        print_changes(before, writable(answer.body["job"]))
        print_text("")
    _report(answer, "Changed", dry_run=dry_run, as_json=as_json)


def has_terminal() -> bool:
    """Tell whether a person can use an editor here."""
    return sys.stdin.isatty() and sys.stdout.isatty()


def _report(answer: Answer, verb: str, *, dry_run: bool, as_json: bool) -> None:
    """Print the effect of a write, or of a dry run."""
    if as_json:
        print_json(answer.body)
    elif dry_run:
        print_effect(answer.body)
    else:
        print_text(f"{verb} {answer.body['name']}: {outlook(answer.body)}")
        print_warnings(answer.body.get("warnings") or ())
