"""`jobs-app job`: what people do to jobs."""

import click

from jobs_app.cli.lazy_group import LazyGroup

_COMMANDS = "jobs_app.cli.commands"


@click.group(
    cls=LazyGroup,
    modules={
        "list": f"{_COMMANDS}.job_reading:list_jobs",
        "show": f"{_COMMANDS}.job_reading:show",
        "create": f"{_COMMANDS}.jobs:create",
        "edit": f"{_COMMANDS}.jobs:edit",
        "pause": f"{_COMMANDS}.job_actions:pause",
        "resume": f"{_COMMANDS}.job_actions:resume",
        "run": f"{_COMMANDS}.job_actions:run_now",
        "observe": f"{_COMMANDS}.job_observe:observe",
        "activate": f"{_COMMANDS}.job_observe:activate",
        "delete": f"{_COMMANDS}.job_actions:delete",
        "next": f"{_COMMANDS}.job_fires:next_fires",
        "explain": f"{_COMMANDS}.job_fires:explain",
        "stats": f"{_COMMANDS}.job_stats:stats",
        "changes": f"{_COMMANDS}.job_revisions:changes",
        "restore": f"{_COMMANDS}.job_revisions:restore",
        "export": f"{_COMMANDS}.job_export:export_jobs",
        "import": f"{_COMMANDS}.job_export:import_jobs",
        "schema": f"{_COMMANDS}.job_export:schema",
    },
)
def job() -> None:
    """Create, change, pause and run jobs."""
