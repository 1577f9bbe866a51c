"""Errors as pages."""

from collections.abc import Callable

from sqlalchemy import update

from jobs_app.core import clock
from jobs_app.db.engine import Database
from jobs_app.db.models.accounts import Person
from tests.web.conftest import Api
from tests.web.pages.conftest import Page


def test_an_error_of_a_page_is_a_page(page: Page) -> None:
    answer = page("/nothing/here")

    assert answer.status_code == 404
    assert "There is nothing at this address." in answer.text
    assert "All jobs" in answer.text


def test_an_error_page_says_each_sentence_once(page: Page) -> None:
    answer = page("/jobs?tag=" + "t" * 300)

    assert answer.status_code == 422
    assert answer.text.count("must have at most 200 characters.") == 1


def test_an_error_of_the_api_is_no_page(page: Page) -> None:
    assert page("/api/v1/nothing").mimetype == "application/problem+json"


def test_a_deleted_job_says_by_whom_and_leads_to_its_history(
    api_of: Callable[..., Api], page: Page
) -> None:
    api = api_of("editor", grants=("commands",), name="ana")
    api.make_job("nightly")
    api.delete("/jobs/nightly")

    for path in ("", "/run", "/edit", "/changes", "/delete"):
        answer = page(f"/jobs/nightly{path}")

        assert answer.status_code == 404
        assert "The job nightly was deleted <time" in answer.text
        assert "</time> by ana." in answer.text
    for link in ("/runs?job=nightly", "/jobs/nightly/why"):
        assert f'href="{link}"' in answer.text
        assert page(link).status_code == 200


def test_a_deleted_job_of_other_tags_is_one_that_never_was(
    api: Api, page_of: Callable[..., Page]
) -> None:
    api.make_job("theirs", tags=["infra"])
    api.delete("/jobs/theirs")
    ben = page_of("editor", tags=("billing",), name="ben")

    deleted, never = (
        ben(f"/jobs/{name}").text.partition("<main")[2] for name in ("theirs", "thouse")
    )

    assert "was deleted" not in deleted
    assert deleted.replace("theirs", "thouse") == never
    assert "was deleted" in page_of("editor", tags=("infra",), name="ina")("/jobs/theirs").text


def test_a_job_that_took_the_name_has_its_page(api: Api, page: Page) -> None:
    api.make_job("nightly")
    api.delete("/jobs/nightly")
    api.make_job("nightly")

    assert page("/jobs/nightly").status_code == 200


def test_a_refusal_names_admins_who_can(
    api: Api, page_of: Callable[..., Page], database: Database
) -> None:
    api.make_job("nightly", tags=["billing"])
    for name in ("Ana", "Eve", "Cleo", "Dan", "Gone", "Off"):
        page_of("admin", name=name)
    page_of("editor", name="Edna")
    with database.session() as session:
        for name, facts in {
            "Gone": {"removed_at": clock.now()},
            "Off": {"disabled_at": clock.now()},
        }.items():
            session.execute(update(Person).where(Person.name == name).values(facts))
        session.commit()

    answer = page_of("operator", name="Ben")("/jobs/nightly/edit")

    assert answer.status_code == 403
    assert "Ben (operator) may not change jobs." in answer.text
    assert "An admin can: Dan, Cleo, Eve.</p>" in answer.text
    limited = page_of("operator", tags=("billing",), name="Tim")("/jobs/nightly/edit")
    assert limited.status_code == 403
    assert "An admin can:" not in limited.text
