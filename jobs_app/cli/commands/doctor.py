"""`jobs-app doctor`: what is wrong with the installation, and what helps."""

import sys

import click

from jobs_app.cli.client import Json, connect
from jobs_app.cli.commands.processes import read_settings
from jobs_app.cli.output import json_option, print_json, print_note, print_text
from jobs_app.core import clock
from jobs_app.core.text import counted

#: The exit codes of this command: nothing found, warnings alone, an error.
EXIT_CODES = {None: 0, "warning": 1, "error": 2}


@click.command()
@click.option(
    "--server",
    "asks_server",
    is_flag=True,
    help="Ask the server at JOBS_URL, as its page does, in place of looking from here.",
)
@json_option
def doctor(asks_server: bool, as_json: bool) -> None:
    """Look for what is wrong with the installation, and say what helps.

    It looks from this machine, with the settings here: run it as the user of the server or of a
    worker, with its settings. The server need not run. Nothing is changed.

    \b
    Exit codes: 0 nothing is wrong, 1 warnings, 2 an error (something does not work).
    """
    report: Json = connect().read("/doctor") if asks_server else _look_here()
    if as_json:
        print_json(report)
    else:
        _print(report)
    sys.exit(EXIT_CODES[report["level"]])


def _look_here() -> Json:
    # What is wrong with files is a finding, and no reason to end.
    with read_settings(checks_files=False) as settings:
        from jobs_app.db.engine import Database
        from jobs_app.jobs.doctor.examine import examine
        from jobs_app.jobs.doctor.findings import as_json

        database = Database(settings.effective_database_url)
        try:
            report = examine(settings, database.reading, process="this process", at=clock.now())
        finally:
            database.close()
    return as_json(report)


def _print(report: Json) -> None:
    for finding in report["findings"]:
        print_text(f"{finding['level'].capitalize()}: {finding['sentence']}")
        # The remedy may be a command to copy.
        print_text(f"  {finding['remedy']}")
        print_text(f"  See {finding['docs']}.")
    for skipped in report["skipped"]:
        print_note(f"Not looked at: {skipped['check']}, because {skipped['reason']}.")
    passed, found = len(report["passed"]), len(report["findings"])
    print_text(f"{counted(passed, 'check')} passed, {counted(found, 'finding')}.")
