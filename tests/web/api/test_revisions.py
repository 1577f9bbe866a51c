"""/jobs/{name}/revisions: what a job was, and a way back, by HTTP."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.web.conftest import Api


def restore(
    api: Api, number: object, *, if_match: str = "*", query: str = "", name: str = "nightly"
) -> Any:
    path = f"/jobs/{name}/revisions/{number}/restore{query}"
    return api.send("POST", path, headers={"If-Match": if_match})


def test_each_change_is_listed_newest_first_on_pages(api: Api) -> None:
    api.make_job(priority=1)
    api.patch("/jobs/nightly", {"priority": 2, "schedule": {"cron": "@daily"}})
    api.post("/jobs/nightly/pause", {})
    api.patch("/jobs/nightly", {"kwargs": {"command": "date"}})

    first = api.get("/jobs/nightly/revisions?limit=2").json
    second = api.get(f"/jobs/nightly/revisions?limit=2&cursor={first['next_cursor']}").json

    assert [item["number"] for item in first["items"]] == [4, 2]
    assert first["items"][0]["changed"] == ["kwargs.command"]
    assert first["items"][1]["changed"] == ["priority", "schedule.cron"]
    assert first["items"][1].keys() == {"number", "at", "by", "via", "note", "changed"}
    assert (first["items"][0]["by"], first["items"][0]["via"]) == ("tester", "api")
    assert [item["number"] for item in second["items"]] == [1]
    assert second["next_cursor"] is None


@pytest.mark.parametrize("schedule", [None, {"interval_seconds": 60}, {"every": "1 day"}])
def test_the_definition_of_a_revision_can_be_put_back(api: Api, schedule: object) -> None:
    before = api.make_job(schedule=schedule, tags=["a"], notify=[], retry={"max_attempts": 3})
    api.put("/jobs/nightly", {"task": "sleep", "kwargs": {"duration": 1}})

    revision = api.get("/jobs/nightly/revisions/1").json
    answer = api.put("/jobs/nightly", revision["definition"], if_match='"2"')

    assert (revision["number"], revision["previous"]) == (1, None)
    assert answer.status_code == 200
    unlike = {"version", "updated_at", "next_run_at"}
    assert answer.json | dict.fromkeys(unlike) == before | dict.fromkeys(unlike)
    assert api.get("/jobs/nightly/revisions/3").json["previous"] == 2


def test_a_restore_is_a_change_with_an_event_of_its_own(api: Api) -> None:
    before = api.make_job()
    api.patch("/jobs/nightly", {"name": "weekly", "schedule": {"cron": "@weekly"}})

    answer = restore(api, 1, if_match='"2"', name="weekly")

    assert answer.status_code == 200
    assert answer.headers["ETag"] == '"3"'
    assert (answer.json["name"], answer.json["schedule"]) == ("nightly", before["schedule"])
    newest = api.get("/jobs/nightly/revisions?limit=1").json["items"][0]
    assert (newest["note"], newest["changed"]) == (
        "Revision 1 was restored.",
        ["name", "schedule.cron"],
    )
    event = api.get("/audit?limit=1").json["items"][0]
    assert (event["action"], event["detail"]["revision"]) == ("restore", 1)


def test_a_dry_run_of_a_restore_shows_its_effect_and_changes_nothing(api: Api) -> None:
    api.make_job()
    api.patch("/jobs/nightly", {"schedule": {"cron": "0 0 * * *"}})
    before = api.facts()

    answer = restore(api, 1, query="?dry_run=true")

    assert answer.json["job"]["schedule"]["cron"] == "30 2 * * *"
    assert answer.json["effect"]["fires_before"] != answer.json["effect"]["fires_after"]
    assert api.facts() == before


@pytest.mark.parametrize(
    "number, if_match, status, code",
    [
        ("9", "*", 404, "revision_not_found"),
        ("x", "*", 404, "revision_not_found"),
        ("9999999999", "*", 404, "revision_not_found"),
        ("1", '"1"', 412, "stale_version"),
        ("1", "", 428, "version_required"),
    ],
)
def test_a_restore_is_refused_like_a_change(
    api: Api, number: str, if_match: str, status: int, code: str
) -> None:
    api.make_job()
    api.patch("/jobs/nightly", {"priority": 2})

    answer = restore(api, number, if_match=if_match)

    assert (answer.status_code, answer.json["code"]) == (status, code)


def test_a_state_that_is_no_longer_valid_is_refused(api: Api) -> None:
    api.make_job()
    api.patch("/jobs/nightly", {"name": "weekly"})
    api.make_job()

    assert restore(api, 1, name="weekly").json["code"] == "name_taken"


def test_a_literal_secret_is_masked_and_stays_as_it_is(api: Api) -> None:
    def env(password: str) -> dict[str, Any]:
        return {"kwargs": {"command": "true", "env": {"PASSWORD": password}}}

    api.make_job(**env("first-one"), priority=1)
    api.patch("/jobs/nightly", {**env("second-one"), "priority": 2})

    revision = api.get("/jobs/nightly/revisions/1")
    copied = api.put("/jobs/nightly", revision.json["definition"])
    restored = restore(api, 1)
    api.patch("/jobs/nightly", {"kwargs": {"env": None}})
    without = restore(api, 1)

    assert "first-one" not in revision.text
    assert copied.json["errors"][0]["code"] == "masked_value"
    assert (restored.json["priority"], restored.json["kwargs"]) == (1, env("second-one")["kwargs"])
    assert without.json["errors"][0]["code"] == "masked_value"


def test_arguments_are_masked_for_whoever_may_not_see_them(
    api: Api, api_of: Callable[..., Api]
) -> None:
    api.make_job()

    shown = [
        caller.get("/jobs/nightly/revisions/1").json["definition"]["kwargs"]
        for caller in (api_of("viewer"), api_of("operator"), api_of("editor"))
    ]

    assert shown == [{"command": "***"}, {"command": "***"}, {"command": "true"}]


def test_an_editor_without_the_grant_restores_no_command(
    api: Api, api_of: Callable[..., Api]
) -> None:
    api.make_job()
    api.put("/jobs/nightly", {"task": "sleep", "kwargs": {"duration": 1}})
    api.patch("/jobs/nightly", {"priority": 1})

    editor = api_of("editor")
    answers = [restore(editor, number) for number in (1, 2)]
    granted = restore(api_of("editor", grants=("commands",)), 1)

    # Revision 1 runs a command, revision 2 does not.
    assert [answer.status_code for answer in answers] == [403, 200]
    assert granted.status_code == 200


def test_a_limit_to_tags_hides_the_revisions_of_other_jobs(
    api: Api, api_of: Callable[..., Api]
) -> None:
    api.make_job(tags=["a"], task="sleep", kwargs={"duration": 1})
    api.make_job("other", tags=["b"], task="sleep", kwargs={"duration": 1})
    api.patch("/jobs/nightly", {"tags": ["a", "b"]})
    limited = api_of("editor", tags=("b",))

    assert len(limited.get("/jobs/nightly/revisions").json["items"]) == 2
    # It would take the job out of the caller's sight.
    assert restore(limited, 1).json["errors"][0]["code"] == "tag_needed"
    api.patch("/jobs/nightly", {"tags": ["a"]})
    for path in ("revisions", "revisions/1"):
        assert limited.get(f"/jobs/nightly/{path}").status_code == 404
    assert limited.get("/jobs/other/revisions/1").status_code == 200


def test_explain_takes_a_restored_schedule_into_account(api: Api) -> None:
    api.make_job(schedule={"interval_seconds": 3600})
    api.patch("/jobs/nightly", {"schedule": None})
    restored = restore(api, 1).json

    sentence = api.get(f"/jobs/nightly/explain?at={restored['next_run_at']}").json["sentence"]

    assert "no schedule" not in sentence
