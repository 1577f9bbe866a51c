"""Answers about one resource have its fields, its ETag and its address."""

import re

import pytest
from flask import Flask
from pydantic import BaseModel

from jobs_app.core.errors import NotFound
from jobs_app.web.api import responses

NAME = re.compile("[a-z]+")


class Shown(BaseModel):
    """A part of a row."""

    name: str


class Row:
    name = "backup"
    secret = "not in the answer"


def test_a_row_is_shown_with_the_fields_of_the_model_only() -> None:
    assert responses.as_json(Shown, Row()) == {"name": "backup"}


def test_an_answer_about_a_new_resource_has_its_version_and_its_address() -> None:
    with Flask(__name__).test_request_context():
        answer = responses.located(responses.versioned({"name": "backup"}, 7), 201, "/jobs/backup")

    assert (answer.status_code, answer.json) == (201, {"name": "backup"})
    assert (answer.headers["ETag"], answer.headers["Location"]) == ('"7"', "/jobs/backup")


def test_a_name_that_no_resource_can_have_is_not_found() -> None:
    assert responses.checked_name(NAME, "backup", "job") == "backup"
    with pytest.raises(NotFound, match="There is no job of that name") as error:
        responses.checked_name(NAME, "no name\x00", "job")

    assert error.value.code == "job_not_found"
