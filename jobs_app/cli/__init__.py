"""The `jobs-app` command; each group of commands is imported when it is first asked for."""

import sys

import click

from jobs_app import __version__
from jobs_app.cli.lazy_group import LazyGroup
from jobs_app.cli.standard_streams import run_with_output

# Where each command lives. Only the module of the command that was typed is
# imported, so that `jobs-app --version` and tab completion answer at once.
COMMANDS = {
    "job": "jobs_app.cli.commands.job_group:job",
    "run": "jobs_app.cli.commands.runs:run",
    "schedule": "jobs_app.cli.commands.schedules:schedule",
    "task": "jobs_app.cli.commands.tasks:task",
    "secret": "jobs_app.cli.commands.secrets:secret",
    "person": "jobs_app.cli.commands.people:person",
    "token": "jobs_app.cli.commands.tokens:token",
    "whoami": "jobs_app.cli.commands.whoami:whoami",
    "attention": "jobs_app.cli.commands.attention:attention",
    "apply": "jobs_app.cli.commands.apply:apply",
    "import": "jobs_app.cli.commands.importers:import_group",
    "audit": "jobs_app.cli.commands.audit:audit",
    "top": "jobs_app.cli.commands.top:top",
    "queues": "jobs_app.cli.commands.queues:queues",
    "workers": "jobs_app.cli.commands.queues:workers",
    "concurrency": "jobs_app.cli.commands.queues:concurrency",
    "channel": "jobs_app.cli.commands.notifications:channel",
    "notification": "jobs_app.cli.commands.notifications:notification",
    "health": "jobs_app.cli.commands.health:health",
    "doctor": "jobs_app.cli.commands.doctor:doctor",
    "up": "jobs_app.cli.commands.processes:up",
    "web": "jobs_app.cli.commands.processes:web",
    "worker": "jobs_app.cli.commands.processes:worker",
    "scheduler": "jobs_app.cli.commands.processes:scheduler",
    "backup": "jobs_app.cli.commands.backup:backup",
    "restore": "jobs_app.cli.commands.backup:restore",
    "migrate": "jobs_app.cli.commands.processes:migrate",
}

#: The line about each command in --help, which imports none of them.
SUMMARIES = {
    "job": "Create, change, pause and run jobs.",
    "run": "Look at runs, cancel and repeat them.",
    "schedule": "Try schedules out.",
    "task": "Look at the tasks that a job may run.",
    "secret": "Store passwords and tokens, to be used by jobs as ${secret:NAME}.",
    "person": "Add, change and remove people and service accounts, on the server's machine.",
    "token": "Create, list and revoke API tokens, on the server's machine.",
    "whoami": "Say which account and token the server takes you for, and what they may do.",
    "attention": "List what needs a person, the most urgent first.",
    "apply": "Make jobs agree with files, all of them or none.",
    "import": "Make jobs from the schedules of other programs.",
    "audit": "List who changed what, and from which address, the newest first.",
    "top": "Watch what runs, what waits and what comes next.",
    "queues": "List queues: who serves them, what waits in them, and for how long.",
    "workers": "List the workers that live, and what each of them runs.",
    "concurrency": "List concurrency keys, with their limits, running and waiting runs.",
    "channel": "Say where notifications go: mail, chat, a webhook.",
    "notification": "See which notifications were sent, and which failed.",
    "health": "Ask the server whether it is ready.",
    "doctor": "Look for what is wrong with the installation, and say what helps.",
    "up": "Run everything on this machine: database, Valkey, scheduler, worker, web server.",
    "web": "Run the web server: the API, and the page that shows it.",
    "worker": "Run a worker, which executes the runs of its queues.",
    "scheduler": "Run a scheduler; one is active, others stand by.",
    "backup": "Write everything into one file, while jobs-app runs.",
    "restore": "Put a backup into the database, as a whole or not at all.",
    "migrate": "Bring the database to the newest revision, or to the one of --to.",
}

INTERRUPTED = 130

EPILOG = """\b
Exit codes:
  0    it worked; with --wait: the run succeeded
  1    it failed or was refused, or --check found something;
       with --wait: the run failed (or, from 1 to 123, the exit code
       of the run's own command)
  2    wrong usage, invalid input or configuration
  3    no such job, run, task, queue, key, secret, channel or account
  4    conflict with the present state, or changed in the meantime
  5    not signed in, or not allowed
  6    the server cannot be reached or is not ready
  124  with --wait: the run timed out, or --timeout passed
  130  stopped with Ctrl-C

The server is JOBS_URL (http://127.0.0.1:5000 by default). The token is
JOBS_TOKEN, else the file admin-token in the data directory (JOBS_DATA_DIR)."""


class CommandLine(LazyGroup):
    """The group of all commands."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        limit = formatter.width - 6 - max(map(len, SUMMARIES))
        # A command without its options is enough to cut the text as click does.
        rows = [
            (name, click.Command(name, help=text).get_short_help_str(limit))
            for name, text in SUMMARIES.items()
        ]
        with formatter.section("Commands"):
            formatter.write_dl(rows)

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except (KeyboardInterrupt, click.Abort) as error:
            # click alone would end with 1, which means that something failed. At a question, it
            # turns Ctrl-C and the end of input into one error.
            is_end_of_input = isinstance(error.__context__, EOFError)
            if isinstance(error, click.Abort):
                click.echo("\nNothing was changed.", err=True)
            ctx.exit(1 if is_end_of_input else INTERRUPTED)


@click.group(
    cls=CommandLine,
    modules=COMMANDS,
    epilog=EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="jobs-app")
def cli() -> None:
    """Scheduled jobs you can edit at run time and trust afterwards.

    Start everything on this machine with `jobs-app up`, then create a job:

    \b
      jobs-app job create hello --command 'date' --every 30s
      jobs-app job run hello --wait
      jobs-app run list --job hello
    """


#: Commands that serve: an error of the system is for their logs, as it is.
SERVERS = {"up", "web", "worker", "scheduler"}


def main() -> None:
    """Run the command line and exit with one of the documented codes."""
    command = next((word for word in sys.argv[1:] if not word.startswith("-")), None)
    if command in SERVERS:
        cli(prog_name="jobs-app")
    run_with_output(lambda: cli(prog_name="jobs-app"))
