"""Run now."""

import re
from collections.abc import Callable
from threading import Timer
from typing import Any

import pytest
from sqlalchemy import update

from jobs_app.core.states import OverlapPolicy
from jobs_app.db.engine import Database
from jobs_app.db.models.accounts import IdempotencyKey
from jobs_app.web.api import preconditions
from jobs_app.web.idempotency import IN_PROGRESS
from tests.web.conftest import Api
from tests.web.pages.conftest import Page


def start(page: Page, **fields: str) -> Any:
    return page.post("/jobs/nightly/run", fields)


def runs(api: Api) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = api.get("/runs").json["items"]
    return items


def test_five_presses_make_one_run(api: Api, page: Page) -> None:
    api.make_job(task="sleep", kwargs={"duration": 1})
    answers = [start(page, key="abc") for _ in range(5)]

    assert {answer.status_code for answer in answers} == {303}
    assert len({answer.headers["Location"] for answer in answers}) == 1
    assert len(runs(api)) == 1


def set_answered(database: Database, status: int) -> None:
    with database.session() as session:
        session.execute(update(IdempotencyKey).values(status=status))
        session.commit()


def test_a_second_press_waits_for_the_answer_to_the_first(
    api: Api, page: Page, database: Database
) -> None:
    api.make_job(task="sleep", kwargs={"duration": 1})
    first = start(page, key="abc")
    set_answered(database, IN_PROGRESS)
    answered = Timer(0.3, set_answered, (database, 202))
    answered.start()
    second = start(page, key="abc")
    answered.join()

    assert second.status_code == 303
    assert second.headers["Location"] == first.headers["Location"]
    assert len(runs(api)) == 1


def test_a_press_whose_first_answer_never_comes_says_so(
    api: Api, page: Page, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preconditions, "FORM_WAIT_SECONDS", 0.1)
    api.make_job(task="sleep", kwargs={"duration": 1})
    start(page, key="abc")
    set_answered(database, IN_PROGRESS)
    second = start(page, key="abc")

    assert second.status_code == 409
    assert "look at the list" in second.text
    assert len(runs(api)) == 1


def test_each_form_has_a_key_of_its_own(api: Api, page: Page) -> None:
    api.make_job()
    keys = {
        page("/jobs/nightly/run").text.partition('name="key" value="')[2].partition('"')[0]
        for _ in range(2)
    }

    assert len(keys) == 2


def test_changed_arguments_are_those_of_the_run(api: Api, page: Page) -> None:
    api.make_job(task="sleep", kwargs={"duration": 1})
    form = page("/jobs/nightly/run").text
    start(page, **{"/kwargs/duration": "7", "note": "by hand"})
    (run,) = runs(api)

    assert 'name="/kwargs/duration" value="1"' in form
    assert (run["kwargs"], run["note"]) == ({"duration": 7}, "by hand")


def test_an_error_stands_at_its_field(api: Api, page: Page) -> None:
    api.make_job(task="sleep", kwargs={"duration": 1})
    answer = start(page, **{"/kwargs/duration": "soon"})

    assert answer.status_code == 422
    assert 'value="soon"' in answer.text
    assert 'aria-invalid="true"' in answer.text
    assert runs(api) == []


def test_no_choice_of_an_overlap_says_its_question_again(api: Api, page: Page) -> None:
    api.make_job()
    text = page("/jobs/nightly/run").text
    choices = re.findall(r"<option[^>]*>([^<]+)", text.partition('id="overlap_policy"')[2])

    assert choices[:2] == ["as the job says: start nothing", "start nothing"]
    assert len(set(choices[1:])) == len(OverlapPolicy)
    assert [choice for choice in choices if "ended" in choice] == []


def test_an_overlap_is_refused_with_its_sentence(api: Api, page: Page) -> None:
    api.make_job(task="sleep", kwargs={"duration": 1})
    start(page)
    answer = start(page)

    assert answer.status_code == 409
    assert len(runs(api)) == 1
    assert start(page, overlap_policy="allow_all").status_code == 303


@pytest.mark.parametrize("name", ["duration", "other"])
def test_an_operator_sets_only_what_the_author_named(
    api: Api, page_of: Callable[..., Page], name: str
) -> None:
    api.make_job(task="sleep", kwargs={"duration": 1}, run_arguments=[])
    operator = page_of("operator")
    shown = operator("/jobs/nightly/run")
    answer = start(operator, **{f"/kwargs/{name}": "9"})

    assert f"/kwargs/{name}" not in shown.text
    # A field that the form does not have is not read.
    assert answer.status_code == 303
    assert runs(api)[0]["kwargs"] == {"duration": 1}


def test_an_operator_may_set_a_named_argument(api: Api, page_of: Callable[..., Page]) -> None:
    api.make_job(task="sleep", kwargs={"duration": 1}, run_arguments=["duration"])
    operator = page_of("operator")
    shown = operator("/jobs/nightly/run")
    answer = start(operator, **{"/kwargs/duration": "9"})

    assert 'name="/kwargs/duration" value=""' in shown.text
    assert answer.status_code == 303
    assert runs(api)[0]["kwargs"] == {"duration": 9}


def test_a_viewer_may_not_start(api: Api, page_of: Callable[..., Page]) -> None:
    api.make_job()
    answer = start(page_of("viewer"))

    assert answer.status_code == 403
    assert runs(api) == []


def test_the_last_starts_can_be_taken_again(api: Api, page: Page) -> None:
    api.make_job(task="sleep", kwargs={"duration": 1}, overlap_policy="allow_all")
    start(page, **{"/kwargs/duration": "7"})
    (run,) = runs(api)

    assert f"like={run['id']}" in page("/jobs/nightly/run").text
    again = page(f"/jobs/nightly/run?like={run['id']}").text
    assert 'name="/kwargs/duration" value="7"' in again
    api.make_job("other", task="sleep", kwargs={"duration": 1})
    of_another = api.post("/jobs/other/runs", {}).json["id"]
    for like, status in (
        ("x", 400),
        ("01890000-0000-7000-8000-000000000000", 404),
        (of_another, 404),
    ):
        assert page(f"/jobs/nightly/run?like={like}").status_code == status, like
