"""POST /apply: a set of jobs as a whole, with rights and repetition as elsewhere."""

from collections.abc import Callable
from typing import Any

from tests.web.conftest import Api, a_job


def actions(answer: Any) -> dict[str, str]:
    assert answer.status_code == 200, answer.text
    return {item["name"]: item["action"] for item in answer.json["items"]}


def test_a_dry_run_shows_fields_and_fires_and_changes_nothing(api: Api) -> None:
    api.make_job("nightly", schedule={"cron": "30 2 * * *", "timezone": "UTC"})
    before = api.facts()
    wanted = a_job(name="nightly", schedule={"cron": "30 3 * * *", "timezone": "UTC"})

    answer = api.post("/apply?dry_run=true", {"jobs": [wanted, a_job(name="new")]})

    assert actions(answer) == {"nightly": "change", "new": "create"}
    nightly, new = answer.json["items"]
    assert nightly["changes"] == [
        {"field": "schedule.cron", "before": "30 2 * * *", "after": "30 3 * * *"}
    ]
    assert len(nightly["fires"]["moved"]) == 9
    assert nightly["job"]["schedule"]["cron"] == "30 3 * * *"
    assert len(new["fires"]["come"]) == 10
    assert new["effect"]["would_run_now"] is False
    assert api.facts() == before


def test_an_apply_answers_with_the_jobs_as_they_are(api: Api) -> None:
    body = {"set": "night", "jobs": [a_job(name="a"), a_job(name="b")]}

    first = api.post("/apply", body)
    second = api.post("/apply", body | {"jobs": [a_job(name="a")], "prune": True})

    assert actions(first) == {"a": "create", "b": "create"}
    assert first.json["items"][0]["job"] == api.get("/jobs/a").json
    assert actions(second) == {"a": "keep", "b": "delete"}
    assert api.get("/jobs/b").status_code == 404


def test_a_repeated_request_gets_the_first_answer(api: Api) -> None:
    body, headers = {"jobs": [a_job(name="a")]}, {"Idempotency-Key": "k"}

    answers = [api.send("POST", "/apply", json=body, headers=headers) for _ in range(2)]

    assert [actions(answer) for answer in answers] == [{"a": "create"}] * 2
    assert answers[1].headers["Idempotency-Replayed"] == "true"


def test_a_dry_run_refuses_a_key_that_is_none(api: Api) -> None:
    headers = {"Idempotency-Key": "a b"}

    answer = api.send("POST", "/apply?dry_run=true", json={"jobs": []}, headers=headers)

    assert (answer.status_code, answer.json["code"]) == (400, "bad_idempotency_key")


def test_faults_name_the_job_and_the_field_as_sent(api: Api) -> None:
    jobs = [
        a_job(name="a"),
        a_job(name="b", schedule={"cron": "nonsense"}),
        a_job(name="a"),
        a_job(name="d", schedules=[{"cron": "61 * * * *"}]) | {"schedule": None},
    ]
    del jobs[3]["schedule"]

    answer = api.post("/apply", {"jobs": jobs})

    assert answer.status_code == 422
    pointers = [error["pointer"] for error in answer.json["errors"]]
    assert pointers == ["/jobs/1/schedule/cron", "/jobs/2/name", "/jobs/3/schedules/0/cron"]
    assert api.get("/jobs").json["items"] == []


def test_a_job_with_a_wrong_field_does_not_hide_the_faults_of_others(api: Api) -> None:
    jobs = [
        a_job(name="a", time_limit=5),
        a_job(name="b", task="shel"),
        a_job(name="C"),
        a_job(name="d", schedule={"cron": "61 * * * *"}),
        "no job",
    ]

    answer = api.post("/apply", {"jobs": jobs})

    assert answer.status_code == 422
    assert [(error["pointer"], error["code"]) for error in answer.json["errors"]] == [
        ("/jobs/0/time_limit", "unknown_field"),
        ("/jobs/1/task", "unknown_task"),
        ("/jobs/2/name", "invalid_name"),
        ("/jobs/3/schedule/cron", "out_of_range"),
        ("/jobs/4", "wrong_type"),
    ]


def test_a_prune_needs_the_name_of_a_set(api: Api) -> None:
    answer = api.post("/apply", {"jobs": [], "prune": True})

    assert (answer.status_code, answer.json["errors"][0]["pointer"]) == (422, "/set")


def test_a_prune_deletes_the_jobs_that_were_confirmed_or_none(api: Api) -> None:
    api.post("/apply", {"set": "one", "jobs": [a_job(name=name) for name in "abc"]})
    pruning = {"set": "one", "jobs": [a_job(name="a")], "prune": True}

    refused = api.post("/apply", pruning | {"prune_only": ["b"]})
    without = api.post("/apply", {"jobs": [], "prune_only": ["b"]})
    pruned = api.post("/apply", pruning | {"prune_only": ["b", "c"]})

    assert (refused.status_code, refused.json["code"]) == (409, "prune_changed")
    assert (without.status_code, without.json["errors"][0]["pointer"]) == (422, "/prune")
    assert [item["action"] for item in pruned.json["items"]] == ["keep", "delete", "delete"]


def test_large_arguments_of_one_job_are_refused(api: Api) -> None:
    answer = api.post("/apply", {"jobs": [a_job(kwargs={"command": "x" * 300_000})]})

    assert answer.status_code == 422
    assert answer.json["errors"][0]["pointer"] == "/jobs/0/kwargs"


def test_a_job_of_another_set_is_a_conflict(api: Api) -> None:
    api.post("/apply", {"set": "one", "jobs": [a_job(name="a")]})

    answer = api.post("/apply", {"set": "two", "jobs": [a_job(name="a")]})

    assert (answer.status_code, answer.json["code"]) == (409, "managed_elsewhere")
    assert answer.json["errors"][0]["pointer"] == "/jobs/0/name"


def test_an_editor_without_the_grant_applies_no_commands(api_of: Callable[..., Api]) -> None:
    root, editor = api_of("admin"), api_of("editor")
    root.post("/apply", {"set": "one", "jobs": [a_job(name="a")]})
    sleeper = a_job(name="b", task="sleep", kwargs={"duration": 1})

    created = editor.post("/apply", {"jobs": [sleeper]})
    refused = editor.post("/apply", {"jobs": [a_job(name="c"), sleeper]})
    pruned = editor.post("/apply", {"set": "one", "jobs": [], "prune": True})

    assert created.status_code == 200
    assert (refused.status_code, pruned.status_code) == (403, 403)
    assert {job["name"] for job in root.get("/jobs").json["items"]} == {"a", "b"}
