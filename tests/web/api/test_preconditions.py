"""Conditional and repeated requests: ETags and idempotency keys."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Annotated, Any

import pytest
from flask import Flask
from pydantic import AfterValidator
from sqlalchemy import update

from jobs_app.accounts import tokens
from jobs_app.db.engine import Database
from jobs_app.db.models.accounts import IdempotencyKey
from jobs_app.web import extension
from tests.web.conftest import NOW, Api, a_job

KEY = {"Idempotency-Key": "2f6c1f0e-once"}


def test_a_job_the_client_has_already_is_not_sent_again(api: Api) -> None:
    api.make_job()

    same = api.get("/jobs/nightly", headers={"If-None-Match": '"1"'})
    api.patch("/jobs/nightly", {"priority": 1})
    changed = api.get("/jobs/nightly", headers={"If-None-Match": '"1"'})

    assert (same.status_code, same.text, same.headers["ETag"]) == (304, "", '"1"')
    assert (changed.status_code, changed.headers["ETag"]) == (200, '"2"')


def test_of_two_edits_of_one_version_the_first_wins(api: Api) -> None:
    api.make_job()

    first = api.patch("/jobs/nightly", {"priority": 1}, if_match='"1"')
    second = api.patch("/jobs/nightly", {"priority": 2}, if_match='"1"')

    assert (first.status_code, second.status_code) == (200, 412)
    assert api.get("/jobs/nightly").json["priority"] == 1


REPEATED: dict[str, tuple[str, Any]] = {
    "a job": ("/jobs", a_job()),
    "a run of a task": ("/runs", {"task": "sleep", "kwargs": {"duration": 1}}),
    "the tutorials' task": ("//start-task", {"duration": 1}),
}


@pytest.mark.parametrize("path, body", REPEATED.values(), ids=REPEATED)
def test_a_repeated_post_gets_the_first_answer_and_does_nothing(
    api: Api, path: str, body: Any
) -> None:
    first = api.post(path, body, headers=KEY)
    before = api.facts()

    again = api.post(path, body, headers=KEY)

    assert again.status_code == first.status_code
    assert again.json == first.json
    assert again.headers["Location"] == first.headers["Location"]
    assert again.headers.get("ETag") == first.headers.get("ETag")
    assert again.headers["Idempotency-Replayed"] == "true"
    assert "Idempotency-Replayed" not in first.headers
    assert api.facts() == before


def test_a_repeated_run_now_starts_one_run(api: Api) -> None:
    api.make_job(overlap_policy="allow_all")

    first, again = (api.post("/jobs/nightly/runs", {}, headers=KEY) for _ in range(2))
    other = api.post("/jobs/nightly/runs", {}, headers={"Idempotency-Key": "another"})

    assert first.json["id"] == again.json["id"] != other.json["id"]
    assert len(api.get("/runs").json["items"]) == 2


def test_a_repetition_may_order_its_fields_differently(api: Api) -> None:
    body = a_job()
    first = api.post("/jobs", body, headers=KEY)

    again = api.post("/jobs", dict(reversed(body.items())), headers=KEY)

    assert again.json == first.json


@pytest.mark.parametrize(
    "path, body", [("/jobs", a_job(name="other")), ("/runs", {"task": "sleep"})]
)
def test_a_key_that_was_used_for_another_request_is_refused(api: Api, path: str, body: Any) -> None:
    api.post("/jobs", a_job(), headers=KEY)
    before = api.facts()

    answer = api.post(path, body, headers=KEY)

    assert (answer.status_code, answer.json["code"]) == (422, "idempotency_mismatch")
    assert api.facts() == before


def test_a_refused_request_does_not_use_up_its_key(api: Api) -> None:
    refused = api.post("/jobs", a_job(task="shel"), headers=KEY)
    api.make_job("nightly")
    conflict = api.post("/jobs", a_job(), headers=KEY)

    answer = api.post("/jobs", a_job(name="other"), headers=KEY)

    assert (refused.status_code, conflict.status_code, answer.status_code) == (422, 409, 201)


def test_keys_are_the_tokens_own(api: Api, database: Database) -> None:
    with database.session() as session:
        somebody_else = Api(api.app, tokens.create(session, "somebody else", at=NOW))
    api.post("/jobs", a_job(), headers=KEY)

    answer = somebody_else.post("/jobs", a_job(name="other"), headers=KEY)

    assert answer.status_code == 201


def test_a_key_expires_after_a_day(api: Api, database: Database) -> None:
    api.post("/jobs", a_job(), headers=KEY)
    with database.session() as session:
        created_at = NOW - timedelta(days=400)
        session.execute(update(IdempotencyKey).values(created_at=created_at))
        session.commit()

    answer = api.post("/jobs", a_job(name="other"), headers=KEY)

    assert answer.status_code == 201


def test_a_key_whose_first_request_is_not_answered_is_a_conflict(
    api: Api, database: Database
) -> None:
    api.post("/jobs", a_job(), headers=KEY)
    with database.session() as session:
        session.execute(update(IdempotencyKey).values(status=0))
        session.commit()

    answer = api.post("/jobs", a_job(), headers=KEY)

    assert (answer.status_code, answer.json["code"]) == (409, "idempotency_in_progress")


@pytest.mark.parametrize("key", ["", "x" * 256, "a b", "é"])
def test_a_key_that_is_none_is_refused(api: Api, key: str) -> None:
    answer = api.post("/jobs", a_job(), headers={"Idempotency-Key": key})

    assert (answer.status_code, answer.json["code"]) == (400, "bad_idempotency_key")


def test_of_posts_at_once_under_one_key_one_takes_effect(api: Api) -> None:
    body = {"task": "sleep", "kwargs": {"duration": 1}}
    with ThreadPoolExecutor(6) as threads:
        clients = [Api(api.app, api.token) for _ in range(6)]
        answers = list(threads.map(lambda c: c.post("/runs", body, headers=KEY), clients))

    assert {answer.status_code for answer in answers} <= {202, 409}
    assert len({answer.json["id"] for answer in answers if answer.status_code == 202}) == 1
    assert len(api.get("/runs").json["items"]) == 1


def test_a_channel_is_created_once(api: Api) -> None:
    channel = {"name": "ops", "url": "json://hooks.example.com/x"}

    first, again = (api.post("/channels", channel, headers=KEY) for _ in range(2))
    other = api.post("/channels", channel | {"name": "ops-2"}, headers=KEY)

    assert (first.status_code, again.status_code) == (201, 201)
    assert again.json == first.json
    assert again.headers["Location"] == first.headers["Location"]
    assert other.status_code == 422


@pytest.fixture
def meanwhile(app: Flask) -> Iterator[list[Callable[[], Any]]]:
    """Have the task `slow`, whose validator calls each of these once, in a thread of its own."""
    calls: list[Callable[[], Any]] = []

    def call(value: int) -> int:
        if calls:
            with ThreadPoolExecutor(1) as thread:
                thread.submit(calls.pop()).result(timeout=60)
        return value

    def slow(value: Annotated[int, AfterValidator(call)] = 1) -> None:
        """Do nothing."""

    with app.app_context():
        celery = extension.current().celery
    celery.task(name="slow", shared=False)(slow)
    yield calls
    celery.tasks.pop("slow")


SLOW_JOB = a_job(task="slow", kwargs={"value": 1})
SLOW_RUN = {"task": "slow", "kwargs": {"value": 1}}


@pytest.mark.parametrize("path, body", [("/jobs", SLOW_JOB), ("/runs", SLOW_RUN)])
def test_a_repetition_that_comes_first_answers_for_both(
    api: Api, meanwhile: list[Callable[[], Any]], path: str, body: Any
) -> None:
    overtaking: list[Any] = []
    other = Api(api.app, api.token)
    meanwhile.append(lambda: overtaking.append(other.post(path, body, headers=KEY)))

    answer = api.post(path, body, headers=KEY)

    assert (answer.status_code, answer.json) == (overtaking[0].status_code, overtaking[0].json)
    assert answer.headers["Idempotency-Replayed"] == "true"
    assert len(api.get(path).json["items"]) == 1


@pytest.mark.parametrize(
    "path, body",
    [
        ("/jobs", a_job(name="other")),
        ("/jobs", a_job()),
        ("/runs", {"task": "sleep", "kwargs": {"duration": 1}}),
    ],
)
def test_another_request_that_takes_the_key_first_refuses_this_one(
    api: Api, meanwhile: list[Callable[[], Any]], path: str, body: Any
) -> None:
    other = Api(api.app, api.token)
    meanwhile.append(lambda: other.post(path, body, headers=KEY))

    answer = api.post("/jobs", SLOW_JOB, headers=KEY)

    assert (answer.status_code, answer.json["code"]) == (422, "idempotency_mismatch")
    assert "slow" not in [job["task"] for job in api.get("/jobs").json["items"]]


def test_a_job_that_changes_during_the_check_of_a_refused_start_keeps_the_key_free(
    api: Api, meanwhile: list[Callable[[], Any]]
) -> None:
    api.post("/jobs", SLOW_JOB)
    other = Api(api.app, api.token)
    sleep = {"task": "sleep", "kwargs": {"value": None, "duration": 1}}
    meanwhile.append(lambda: other.patch("/jobs/nightly", sleep))

    refused = api.post("/jobs/nightly/runs", {"kwargs": {"value": 2}}, headers=KEY)
    answer = api.post("/jobs/nightly/runs", {}, headers=KEY)

    assert (refused.status_code, answer.status_code) == (422, 202)
