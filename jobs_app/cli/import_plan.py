"""The steps of an import: what each job of a source would do here, and how it is done."""

from dataclasses import dataclass

from jobs_app.cli.client import Answer, Client, Json
from jobs_app.cli.job_diff import print_changes
from jobs_app.cli.job_options import writable
from jobs_app.cli.job_view import outlook, print_recorded
from jobs_app.cli.output import print_note, print_text
from jobs_app.cli.paths import job_path

DRY = {"dry_run": True}


@dataclass(frozen=True, slots=True)
class Step:
    """The action for one job: `create`, `change` or `keep`.

    `preview` is the answer of a dry run; `present` is the job as it is, None for a new one.
    """

    document: Json
    action: str
    preview: Json
    present: Answer | None

    @property
    def name(self) -> str:
        """The name of the job."""
        return str(self.document["name"])

    @property
    def etag(self) -> str | None:
        """The version that a change replaces."""
        return self.present.etag if self.present else None


def plan(client: Client, job: Json, *, origin: str | None = None) -> Step:
    """Return the step that makes a job agree with the document *job*; raises Failure.

    If that names no origin, a new job gets *origin*, and a present one keeps its own.
    """
    present = client.find(job_path(job["name"]))
    known = origin if present is None else present.body.get("origin")
    if job.get("origin") is None and known is not None:
        job = job | {"origin": known}
    if present is None:
        answer = client.send("POST", "/jobs", body=job, params=DRY)
        return Step(job, "create", answer.body, None)
    path = job_path(job["name"])
    answer = client.send("PUT", path, body=job, params=DRY, if_match=present.etag)
    is_same = writable(answer.body["job"]) == writable(present.body)
    return Step(job, "keep" if is_same else "change", answer.body, present)


def carry_out(
    client: Client, step: Step, *, is_paused: bool = False, is_imported: bool = False
) -> Json:
    """Carry a step out and return the job; a change made meanwhile raises Failure.

    With *is_paused* a new job does not fire before somebody resumes it. With *is_imported* its
    history says that an import wrote it, which a later import looks for.
    """
    job: Json = step.preview["job"]
    mark = {"imported": True} if is_imported else {}
    if step.action == "create":
        params = mark | ({"paused": True} if is_paused else {})
        job = client.send("POST", "/jobs", body=step.document, params=params).body
    elif step.action == "change":
        path = job_path(step.name)
        job = client.send("PUT", path, body=step.document, params=mark, if_match=step.etag).body
    return job


def print_step(step: Step, job: Json, *, dry_run: bool) -> None:
    """Print one step: done, or what it would do."""
    if step.action == "keep":
        print_text(f"Unchanged {step.name}.")
        return
    done = {"create": "Created", "change": "Changed"}[step.action]
    verb = f"Would {step.action}" if dry_run else done
    print_text(f"{verb} {step.name}: {outlook(job['job'] if dry_run else job)}")
    if dry_run:
        if step.present is not None:
            print_changes(writable(step.present.body), writable(job["job"]))
        print_recorded(job["effect"])
        for warning in job["effect"]["warnings"]:
            print_note(f"Note on {step.name}: {warning}")
