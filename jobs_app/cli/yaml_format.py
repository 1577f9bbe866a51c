"""Jobs as YAML: the jobs in a text, and text that is read back the same."""

import yaml
from yaml.nodes import ScalarNode

from jobs_app.cli.client import Json
from jobs_app.cli.output import UNSAFE_IN_JSON
from jobs_app.cli.yaml_values import Unreadable, quoted, read_values

try:
    from yaml import CSafeDumper as SafeDumper
except ImportError:  # PyYAML built without libyaml: the same, ten times slower
    # The C class has the same interface.
    from yaml import SafeDumper  # type: ignore[assignment]


class _Dumper(SafeDumper):
    """Writes text of several lines as such, and everything in full."""

    def ignore_aliases(self, data: object) -> bool:
        return True


def _represent_text(dumper: SafeDumper, text: str) -> ScalarNode:
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _represent_text)


def read_jobs(text: str) -> list[Json]:
    """Return the jobs in *text*: a list of them, a mapping of them by name, or one alone.

    Raises Unreadable.
    """
    return _named(read_values(text))


def write_jobs(jobs: list[Json]) -> str:
    """Return YAML that `read_jobs` reads back the same, harmless on any terminal."""
    text = _dump(jobs, allow_unicode=True)
    return _dump(jobs, allow_unicode=False) if UNSAFE_IN_JSON.search(text) else text


def _dump(jobs: list[Json], *, allow_unicode: bool) -> str:
    text: str = yaml.dump(
        jobs, Dumper=_Dumper, sort_keys=False, allow_unicode=allow_unicode, width=100
    )
    return text


def _named(document: object) -> list[Json]:
    """Return the jobs of a document, each with its name."""
    if isinstance(document, dict) and isinstance(document.get("task"), str):
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
