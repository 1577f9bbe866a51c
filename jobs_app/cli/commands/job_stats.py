"""`jobs-app job stats`: outcomes, durations and delays of a job's runs."""

import click

from jobs_app.cli.client import Json, connect
from jobs_app.cli.commands.job_observe import observation_text
from jobs_app.cli.completion import job_names
from jobs_app.cli.format import duration, exact
from jobs_app.cli.job_view import retention_text
from jobs_app.cli.output import as_fields, json_or
from jobs_app.cli.paths import job_path
from jobs_app.cli.run_view import moment
from jobs_app.cli.zones import show_in, zone_of_job
from jobs_app.core.text import counted


def _stats_fields(answer: Json) -> dict[str, str | None]:
    recent, kept, runs = answer["recent"], answer["kept"], answer["runs"]
    return {
        "Job": answer["job"],
        "Runs": _counts_text(runs["total"], runs["by_state"]),
        "Succeeded": _rate_text(answer["success_rate"]),
        "Failures in a row": str(answer["failures_in_a_row"]),
        "Last success": _run_text(answer["last_success"]),
        "Last failure": _run_text(answer["last_failure"]),
        f"Of the last {recent['runs']:,}": _rate_text(recent["success_rate"]),
        "Took": _spread_text(recent["duration_seconds"]),
        "Late by": _spread_text(recent["delay_seconds"]),
        "Only watches": _observation_text(answer.get("observation")),
        "On record": _kept_text(kept),
        "Kept": retention_text(kept),
    }


def _counts_text(total: int, counts: dict[str, int]) -> str:
    parts = [f"{count:,} {state.replace('_', ' ')}" for state, count in counts.items()]
    return f"{total:,}: {', '.join(parts)}" if parts else "none so far"


def _rate_text(rate: float | None) -> str | None:
    return None if rate is None else f"{rate:.1%}"


def _run_text(run: Json | None) -> str:
    if run is None:
        return "none on record"
    return f"{moment(run['finished_at'])}, run {run['id']}"


def _observation_text(observation: Json | None) -> str | None:
    return None if observation is None else observation_text(observation)


def _spread_text(seconds: Json | None) -> str | None:
    if seconds is None:
        return None
    p50, p95, longest = (duration(seconds[name]) for name in ("p50", "p95", "max"))
    return f"half within {p50}, 95 % within {p95}, at most {longest}"


def _kept_text(kept: Json) -> str:
    since = f" since {exact(kept['oldest_at'])}" if kept["oldest_at"] else ""
    return f"{counted(kept['runs'], 'run')}{since}"


@click.command()
@click.argument("name", shell_complete=job_names)
@click.option(
    "--last",
    type=click.IntRange(1, 1000),
    default=100,
    show_default=True,
    help="About so many of its newest runs.",
)
@json_or(as_fields(_stats_fields))
def stats(name: str, last: int) -> Json:
    """Show how a job has done: outcomes, how long its runs take, how late they start.

    Runs that are no longer kept are counted all the same.
    """
    client = connect()
    answer = client.read(f"{job_path(name)}/stats", last=last)
    job = client.find(job_path(name))
    show_in(zone_of_job(None if job is None else job.body))
    return answer
