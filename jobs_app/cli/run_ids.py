"""The id of the run that a person names: by that id, or by its job, whose newest run is meant."""

from uuid import UUID

from jobs_app.cli.client import NO_SUCH, Client, Failure
from jobs_app.cli.paths import job_path


def run_id_of(client: Client, text: str) -> str:
    """Return *text* if it is an id, else the id of the newest run of the job *text*.

    Raises Failure if there is no such job, or if it has no run on record.
    """
    try:
        UUID(text)
    except ValueError:
        return _newest(client, text)
    return text


def _newest(client: Client, job: str) -> str:
    # The runs of a deleted job are still listed, so the job itself is looked for last.
    runs = client.page("/runs", limit=1, job=job)["items"]
    if runs:
        return str(runs[0]["id"])
    try:
        client.get(job_path(job))
    except Failure as failure:
        if failure.exit_code == NO_SUCH:
            hint = "Name a run by all 36 characters of its id, or by its job for the newest one."
            raise Failure(f"{failure.message}\n{hint}", NO_SUCH) from failure
        raise
    raise Failure(f"{job} has no run on record.", NO_SUCH)
