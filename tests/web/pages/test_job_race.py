"""Somebody else saved a job first."""

from typing import Any

from sqlalchemy import delete

from jobs_app.db.engine import Database
from jobs_app.db.models.jobs import JobRevision
from jobs_app.jobs.merge import WHEN
from jobs_app.web.pages.job_race import choices_in, kept, label, shown
from tests.web.conftest import Api
from tests.web.pages.conftest import Page
from tests.web.pages.html_forms import forms_of
from tests.web.pages.test_job_form import race, sent, stored

EDIT = "/jobs/nightly/edit"


def test_without_the_first_revision_every_difference_is_chosen(
    api: Api, page: Page, database: Database
) -> None:
    answer = race(api, page, {"/priority": "7"}, {"tags": ["b"]})
    controls = forms_of(answer.text)[EDIT]
    with database.session() as session:
        session.execute(delete(JobRevision).where(JobRevision.number == 1))
        session.commit()

    again = sent(page, EDIT, controls | {"then": "save"})
    assert again.status_code == 412
    assert "is no longer kept" in again.text
    choices = {"choose:priority": "yours", "choose:tags": "theirs"}
    assert sent(page, EDIT, controls | choices).status_code == 303

    assert (stored(api)["priority"], stored(api)["tags"]) == (7, ["b"])


def test_choices_are_no_part_of_the_form() -> None:
    values = {"/name": "x", "choose:kwargs.a": "yours"}

    assert choices_in(values) == {"kwargs.a": "yours"}
    assert kept(values) == [("/name", "x")]


def test_a_value_of_the_table_is_text() -> None:
    values: list[Any] = [None, {}, [], "", "a", 5, False, ["a", "b"], {"cron": "* * * * *"}]

    texts = [shown(value) for value in values]

    assert texts[:4] == ["–"] * 4
    assert texts[4:] == ["a", "5", "false", "- a\n- b", "cron: '* * * * *'"]
    assert len(shown("x" * 9000)) == 2001


def test_the_kind_of_a_schedule_is_the_schedule() -> None:
    assert [label(WHEN), label("kwargs.command")] == ["schedule", "kwargs.command"]
