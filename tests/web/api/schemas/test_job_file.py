"""The JSON Schema of files of jobs says yes and no where the reader of files does."""

from typing import Any

import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]  # it has no types

from jobs_app.cli.yaml_format import read_set
from jobs_app.core.yaml_values import read_values
from jobs_app.web.api.schemas.job_file import job_file_schema

SCHEMA = job_file_schema()

#: Files, and whether they are right.
FILES = [
    ("- {name: a, task: sleep}", True),
    ("a: {task: sleep, schedule: {cron: 0 0 * * *}}", True),
    ("name: a\ntask: sleep\n", True),
    ("set: night\njobs: []", True),
    ("set: night\njobs: {a: {task: sleep}}", True),
    ("set: {task: sleep}", True),
    ("jobs: {a: {task: sleep}}", True),
    ("jobs: [{name: a, task: sleep}]", True),
    ("jobs: {task: sleep}", True),
    ("jobs: []", False),
    ("- {task: sleep}", False),
    ("a: {tsk: sleep}", False),
    ("a: {task: sleep, priority: high}", False),
    ("a: {task: sleep, priority: 10}", False),
    ("set: night\njobs: []\nmore: 1", False),
    ("[]", False),
    ("just text", False),
]


def test_the_schema_is_one() -> None:
    Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("text, is_right", FILES)
def test_a_file_is_right_or_wrong(text: str, is_right: bool) -> None:
    assert Draft202012Validator(SCHEMA).is_valid(read_values(text)) is is_right
    if is_right:
        assert read_set(text)


def test_an_editor_shows_what_a_field_is_for() -> None:
    fields: dict[str, Any] = SCHEMA["$defs"]["JobReplace"]["properties"]

    assert "0 is served first" in str(fields["priority"])
