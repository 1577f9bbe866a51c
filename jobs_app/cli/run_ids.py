"""The run that a person names: by its id, the beginning of that, or its job."""

import re
from typing import Any
from uuid import UUID

from jobs_app.cli.client import Client, Json
from jobs_app.cli.failure import NO_SUCH, USAGE, Failure
from jobs_app.cli.paths import job_path
from jobs_app.core.states import UNFINISHED

#: So many runs whose ids have the same beginning are listed.
MOST_LISTED = 10

#: The beginning of an id, as GET /runs?id_prefix= takes it.
PREFIX = re.compile(r"-*(?:[0-9a-f]-*){8,32}", re.IGNORECASE)


def is_prefix(text: str) -> bool:
    """Tell whether *text* may be the beginning of an id."""
    return PREFIX.fullmatch(text) is not None


def run_id_of(client: Client, text: str) -> str:
    """Return the id of the run that *text* names: that id, or the newest run of that job.

    Or the only run whose id begins with *text*; the name of a job comes first. Raises Failure
    if there is none, or more than one.
    """
    return _id_in_full(text) or _newest(client, text) or _by_prefix(client, text)


def unfinished_run_id_of(client: Client, text: str) -> str:
    """Return the id of the run that *text* names, as `run_id_of` does.

    Of a job, this is its only run that has not ended. Raises Failure.
    """
    if full := _id_in_full(text):
        return full
    unfinished = client.page("/runs", limit=MOST_LISTED, job=text, state=",".join(UNFINISHED))
    if len(unfinished["items"]) == 1:
        return str(unfinished["items"][0]["id"])
    if unfinished["items"]:
        what = f"{text} has more than one run that has not ended"
        raise Failure(_candidates(what, unfinished), USAGE)
    # None is under way: the server says so of the newest one, by name.
    return run_id_of(client, text)


def _id_in_full(text: str) -> str | None:
    try:
        UUID(text)
    except ValueError:
        return None
    return text


def _newest(client: Client, job: str) -> str | None:
    """Return the newest run of a job, None if there is no such job. Raises Failure without one."""
    # The runs of a deleted job are still listed, so the job itself is looked for last.
    if runs := client.page("/runs", limit=1, job=job)["items"]:
        return str(runs[0]["id"])
    if client.find(job_path(job)) is not None:
        raise Failure(f"{job} has no run on record.", NO_SUCH)
    return None


def _by_prefix(client: Client, text: str) -> str:
    if is_prefix(text):
        page = client.page("/runs", limit=MOST_LISTED, id_prefix=text)
        if len(page["items"]) == 1:
            return str(page["items"][0]["id"])
        if page["items"]:
            raise Failure(_candidates(f"The ids of several runs begin with {text}", page), USAGE)
        raise Failure(f"No job is called {text}, and no id of a run begins so.", NO_SUCH)
    try:
        client.get(job_path(text))
    except Failure as failure:
        if failure.exit_code != NO_SUCH:
            raise
        hint = "Name a run by its id, the first 8 digits or more of it, or by its job."
        raise Failure(f"{failure.message}\n{hint}", NO_SUCH) from failure
    raise Failure(f"{text} has no run on record.", NO_SUCH)


def _candidates(what: str, page: Json) -> str:
    more = ["  and more"] if page["next_cursor"] is not None else []
    return "\n".join([f"{what}:", *map(_line, page["items"]), *more])


def _line(run: dict[str, Any]) -> str:
    job = run.get("job") or run["task"]
    return f"  {run['id']}  {job}  {run['state']}  {run.get('scheduled_for') or run['created_at']}"
