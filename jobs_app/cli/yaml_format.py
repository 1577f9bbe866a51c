"""Jobs as YAML: the jobs in a text, and text that is read back the same."""

from jobs_app.cli.client import Json
from jobs_app.cli.output import UNSAFE_IN_JSON
from jobs_app.core import yaml_text
from jobs_app.core.yaml_values import Unreadable, quoted, read_values

#: The line that names the JSON Schema for the YAML language server of editors.
SCHEMA_LINE = "# yaml-language-server: $schema=jobs.schema.json\n"


def read_jobs(text: str) -> list[Json]:
    """Return the jobs in *text*: a list of them, a mapping of them by name, or one alone.

    Raises Unreadable.
    """
    return _named(read_values(text))


def read_set(text: str) -> tuple[str | None, list[Json]]:
    """Return the name of the set in *text*, None if it names none, and its jobs.

    `{set: NAME, jobs: …}` names it, and may have no jobs; `{jobs: …}` has no name. Else *text* is
    as for `read_jobs`. Raises Unreadable.
    """
    document = read_values(text)
    if not isinstance(document, dict):
        return None, _named(document)
    if document.keys() == {"jobs"} and not _is_job(document["jobs"]):
        return None, _named(document["jobs"])
    # A job called `set` would be a mapping.
    if "set" not in document or isinstance(document["set"], dict):
        return None, _named(document)
    if not isinstance(document["set"], str):
        raise Unreadable("The name after `set` must be text: put it in quotes.")
    if unknown := sorted(map(str, document.keys() - {"set", "jobs"})):
        raise Unreadable(f"Beside `set` and `jobs`, a set has no field {quoted(unknown[0])}.")
    jobs = document.get("jobs")
    return document["set"], [] if jobs in ([], {}) else _named(jobs)


def write_jobs(jobs: list[Json]) -> str:
    """Return YAML that `read_jobs` reads back the same, harmless on any terminal."""
    return _harmless(jobs)


def write_job(job: Json) -> str:
    """Return YAML that `read_job` reads back the same, harmless on any terminal."""
    return _harmless(job)


def read_job(text: str) -> Json:
    """Return the fields of the job in *text*, which is one mapping; raises Unreadable."""
    job = read_values(text)
    if not isinstance(job, dict):
        raise Unreadable("This must be one job: a mapping of its fields.")
    return job


def _harmless(document: Json | list[Json]) -> str:
    text = yaml_text.write(document)
    if UNSAFE_IN_JSON.search(text):
        return yaml_text.write(document, allow_unicode=False)
    return text


def _is_job(document: object) -> bool:
    """Tell whether *document* has the fields of a job; jobs by name would be mappings."""
    return isinstance(document, dict) and isinstance(document.get("task"), str)


def _named(document: object) -> list[Json]:
    """Return the jobs of a document, each with its name."""
    if _is_job(document):
        document = [document]
    if isinstance(document, dict):
        document = [_with_name(str(name), job) for name, job in document.items()]
    if not isinstance(document, list) or not document:
        raise Unreadable("It has no jobs. Write a list of jobs, or a mapping of jobs by name.")
    names = set()
    for number, job in enumerate(document, 1):
        if not isinstance(job, dict) or not isinstance(job.get("name"), str):
            raise Unreadable(f"Entry {number} is not a job with a name.")
        if job["name"] in names:
            raise Unreadable(f"The job {quoted(job['name'])} is there twice.")
        names.add(job["name"])
    return document


def _with_name(name: str, job: object) -> Json:
    if not isinstance(job, dict):
        raise Unreadable(f"{quoted(name)} is not a job: it must be a mapping of its fields.")
    if job.get("name", name) != name:
        raise Unreadable(f"The job {quoted(name)} calls itself {quoted(str(job['name']))}.")
    return {"name": name, **job}
