"""Conditional and repeated requests: ETags and idempotency keys."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import update

from jobs_app.accounts import tokens
from jobs_app.db.engine import Database
from jobs_app.db.models.accounts import IdempotencyKey
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
