"""The help of commands with very many options: under headings, what belongs together."""

from collections.abc import Mapping

import click

from jobs_app.cli.single_options import SingleOptionCommand

#: The heading of all options that no section names.
OTHERS = "Options"

#: The sections of the options that describe a job, and the parameters in each.
JOB_SECTIONS: Mapping[str, frozenset[str]] = {
    "What runs": frozenset(
        {"shell_command", "shell_user", "task", "kwargs", "arguments", "description", "tags"}
        | {"run_arguments", "confirm", "queue", "priority"}
    ),
    "Schedule": frozenset(
        {"cron", "every", "at", "manual", "timezone", "anchor", "start_at", "end_at", "jitter"}
        | {"on_start"}
        | {"max_runs", "observe"}
    ),
    "Late and missed fires": frozenset(
        {"starting_deadline", "catchup", "catchup_window", "catchup_max_runs"}
    ),
    "Runs at the same time": frozenset({"overlap", "concurrency_key", "concurrency_limit"}),
    "Retries": frozenset(
        {"max_attempts", "retry_delay", "retry_backoff", "retry_max_delay", "retry_on"}
    ),
    "Limits": frozenset({"time_limit", "soft_time_limit", "kill_grace", "pause_after_failures"}),
    "Notifications": frozenset(
        {"notify", "no_notify", "notify_after_failures", "notify_late_after"}
    ),
    "History": frozenset({"keep_runs", "keep_days", "keep_failed_days", "keep_log_days"}),
}


class JobCommand(SingleOptionCommand):
    """A command with the options of a job, whose help has them under headings."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        rows: dict[str, list[tuple[str, str]]] = {name: [] for name in (*JOB_SECTIONS, OTHERS)}
        for parameter in self.get_params(ctx):
            row = parameter.get_help_record(ctx)
            if row is not None:
                rows[_section_of(parameter.name)].append(row)
        for heading, records in rows.items():
            if records:
                with formatter.section(heading):
                    formatter.write_dl(records)


def _section_of(name: str | None) -> str:
    return next((heading for heading, names in JOB_SECTIONS.items() if name in names), OTHERS)
