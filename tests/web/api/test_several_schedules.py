"""Several schedules of one job over HTTP: sent, answered, changed, restored, explained."""

from datetime import UTC, datetime
from typing import Any

import pytest

from jobs_app.core import clock
from jobs_app.web.api.schemas.job_input import JobIn
from tests.web.conftest import Api, a_job

PARIS = {"timezone": "Europe/Paris"}
WEEKDAYS = {"cron": "0 9 * * 1-5", **PARIS}
SATURDAY = {"cron": "0 12 * * 6", **PARIS}


def several(**fields: Any) -> dict[str, Any]:
    """Return a job with two schedules, as it is sent."""
    job = a_job(schedules=[WEEKDAYS, SATURDAY], **fields)
    del job["schedule"]
    return job


def crons(job: dict[str, Any]) -> list[str]:
    return [schedule["cron"] for schedule in job["schedules"]]


def test_an_answer_has_all_schedules_and_the_first_one(api: Api) -> None:
    answer = api.post("/jobs", several())

    assert answer.status_code == 201, answer.text
    job = answer.json
    assert crons(job) == [WEEKDAYS["cron"], SATURDAY["cron"]]
    assert job["schedule"] == job["schedules"][0]
    assert job["description_of_schedule"] == (
        "At 09:00 on Monday through Friday, Europe/Paris time;"
        " and at 12:00 on Saturday, Europe/Paris time"
    )
    assert api.get("/jobs").json["items"][0]["schedules"] == job["schedules"]


def test_a_manual_job_has_neither(api: Api) -> None:
    job = api.post("/jobs", a_job(schedule=None)).json

    assert (job["schedule"], job["schedules"]) == (None, [])
    assert api.post("/jobs", several(name="b") | {"schedules": []}).json["schedule"] is None


def test_the_fires_are_those_of_all_schedules(api: Api) -> None:
    api.post("/jobs", several())

    fires = api.get("/jobs/nightly/next?from=2030-01-03T00:00:00Z&count=4").json["items"]

    assert [fire["local"][:16] for fire in fires] == [
        *("2030-01-03T09:00", "2030-01-04T09:00", "2030-01-05T12:00", "2030-01-07T09:00")
    ]


def test_a_fire_that_two_schedules_share_is_there_once(api: Api) -> None:
    api.post("/jobs", several() | {"schedules": [{"cron": "0 * * * *"}, {"cron": "*/30 * * * *"}]})

    fires = api.get("/jobs/nightly/next?from=2030-01-03T00:00:00Z&count=3").json["items"]

    assert [fire["at"][11:16] for fire in fires] == ["00:30", "01:00", "01:30"]


def test_an_answer_may_be_sent_back_as_it_is(api: Api) -> None:
    answer = api.post("/jobs", several())
    job = {name: value for name, value in answer.json.items() if name in JobIn.model_fields}

    again = api.put("/jobs/nightly", job)

    assert again.status_code == 200, again.text
    assert again.json["schedules"] == answer.json["schedules"]


@pytest.mark.parametrize("schedule", [SATURDAY, None])
def test_fields_that_disagree_are_refused_in_one_sentence(api: Api, schedule: Any) -> None:
    answer = api.post("/jobs", several() | {"schedule": schedule})

    assert answer.status_code == 422
    assert [error["code"] for error in answer.json["errors"]] == ["two_schedules"]
    assert "send one of them" in answer.json["detail"]


def test_each_error_is_in_its_schedule(api: Api) -> None:
    wrong = [{"cron": "61 * * * *"}, WEEKDAYS, {"cron": "0 9 * * *", "timezone": "Europe/Pari"}]

    answer = api.post("/jobs", several() | {"schedules": wrong})
    kinds = api.post("/jobs", several() | {"schedules": [{}, {"cron": "@daily", "at": None}, {}]})

    pointers = [error["pointer"] for error in answer.json["errors"]]
    assert pointers == ["/schedules/0/cron", "/schedules/2/timezone"]
    assert [error["pointer"] for error in kinds.json["errors"]] == ["/schedules/0", "/schedules/2"]


@pytest.mark.parametrize("query", ["", "?dry_run=true"])
def test_the_error_of_an_only_schedule_is_where_it_was_sent(api: Api, query: str) -> None:
    listed = api.post(f"/jobs{query}", several() | {"schedules": [{"cron": "61 * * * *"}]})
    single = api.post(f"/jobs{query}", a_job(schedule={"cron": "61 * * * *"}))
    api.make_job()
    put = api.put(f"/jobs/nightly{query}", several() | {"schedules": [{"cron": "61 * * * *"}]})
    body = {"schedules": [{"cron": "61 * * * *"}]}
    preview = api.post("/schedules/preview", body)

    assert [error["pointer"] for error in single.json["errors"]] == ["/schedule/cron"]
    for answer in (listed, put, preview):
        assert [error["pointer"] for error in answer.json["errors"]] == ["/schedules/0/cron"]


def test_the_same_schedule_twice_is_refused(api: Api) -> None:
    same = [{"interval_seconds": 3600}, WEEKDAYS, {"every": "60 minutes"}]

    answer = api.post("/jobs", several() | {"schedules": same})

    (error,) = answer.json["errors"]
    assert (error["pointer"], error["code"]) == ("/schedules/2", "same_schedule")
    assert error["detail"] == "This is the same as schedule 1: leave it out."


def test_a_job_has_at_most_twenty_schedules(api: Api) -> None:
    def schedules(count: int) -> list[dict[str, Any]]:
        return [{"cron": f"{minute} 9 * * *"} for minute in range(count)]

    assert api.post("/jobs", several() | {"schedules": schedules(20)}).status_code == 201
    assert api.post("/jobs", several(name="b") | {"schedules": schedules(21)}).status_code == 422


def test_a_patch_of_one_schedule_does_not_drop_the_others(api: Api) -> None:
    api.post("/jobs", several())

    refused = api.patch("/jobs/nightly", {"schedule": {"cron": "0 6 * * *"}})

    assert refused.status_code == 422
    assert refused.json["errors"][0]["pointer"] == "/schedule"
    assert "The job has 2 schedules: send schedules" in refused.json["detail"]
    assert crons(api.get("/jobs/nightly").json) == [WEEKDAYS["cron"], SATURDAY["cron"]]


@pytest.mark.parametrize(
    "patch, expected",
    [
        ({"schedules": [SATURDAY]}, [SATURDAY["cron"]]),
        ({"schedules": []}, []),
        ({"schedules": None}, []),
        ({"schedule": None}, []),
        ({"description": "other"}, [WEEKDAYS["cron"], SATURDAY["cron"]]),
        ({"schedules": [SATURDAY, WEEKDAYS]}, [SATURDAY["cron"], WEEKDAYS["cron"]]),
    ],
)
def test_a_patch_replaces_the_list(api: Api, patch: dict[str, Any], expected: list[str]) -> None:
    api.post("/jobs", several())

    answer = api.patch("/jobs/nightly", patch)

    assert answer.status_code == 200, answer.text
    assert crons(answer.json) == expected


def test_a_put_of_one_schedule_is_one_schedule(api: Api) -> None:
    api.post("/jobs", several())

    answer = api.put("/jobs/nightly", a_job(schedule=SATURDAY))

    assert crons(answer.json) == [SATURDAY["cron"]]


def test_intervals_keep_their_anchors_when_others_come_and_go(api: Api) -> None:
    anchored = {"interval_seconds": 5400, "anchor_at": "2026-01-01T00:07:00Z"}
    api.post("/jobs", several() | {"schedules": [WEEKDAYS, anchored]})

    bare = {"interval_seconds": 5400}
    more = api.patch("/jobs/nightly", {"schedules": [{"interval_seconds": 90}, bare, WEEKDAYS]})
    alone = api.put("/jobs/nightly", a_job(schedule=bare))

    assert more.json["schedules"][1]["anchor_at"] == anchored["anchor_at"]
    assert more.json["schedules"][0]["anchor_at"] != anchored["anchor_at"]
    assert alone.json["schedule"]["anchor_at"] == anchored["anchor_at"]


def test_a_dry_run_shows_how_the_fires_move(api: Api) -> None:
    api.make_job(schedule=WEEKDAYS)

    answer = api.patch("/jobs/nightly?dry_run=true", {"schedules": [WEEKDAYS, SATURDAY]})

    effect = answer.json["effect"]
    assert not any("T12:00" in fire["local"] for fire in effect["fires_before"])
    assert any("T12:00" in fire["local"] for fire in effect["fires_after"])
    assert len(answer.json["job"]["schedules"]) == 2


def test_a_schedule_that_adds_nothing_is_named(api: Api) -> None:
    schedules = [{"cron": "0 * * * *"}, {"cron": "0 12 * * *"}, {"cron": "7 5 31 * *"}]

    answer = api.post("/schedules/preview", {"schedules": schedules})

    warnings = answer.json["warnings"]
    assert "Schedule 2 adds no fire: whenever it fires, another one does, too." in warnings
    assert any(warning.startswith("Schedule 3: February, April") for warning in warnings)
    assert not any("Schedule 1" in warning for warning in warnings)


def test_a_preview_needs_one_of_the_fields(api: Api) -> None:
    bodies: list[dict[str, Any]] = [{}, {"schedules": []}]
    for body in bodies:
        answer = api.post("/schedules/preview", body)

        assert answer.status_code == 422
        assert answer.json["errors"][0]["pointer"] == "/schedule"


def test_a_revision_names_the_list_once_and_is_restored(api: Api) -> None:
    api.make_job(schedule=WEEKDAYS)
    api.patch("/jobs/nightly", {"schedules": [WEEKDAYS, SATURDAY]})
    api.patch("/jobs/nightly", {"schedules": [SATURDAY]})

    listed = api.get("/jobs/nightly/revisions").json["items"]
    revision = api.get("/jobs/nightly/revisions/2").json
    match = {"If-Match": "*"}
    restored = api.post("/jobs/nightly/revisions/2/restore", headers=match)

    assert [item["changed"] for item in listed] == [["schedules"], ["schedules"], []]
    assert crons(revision["definition"]) == [WEEKDAYS["cron"], SATURDAY["cron"]]
    assert crons(restored.json) == [WEEKDAYS["cron"], SATURDAY["cron"]]


def test_an_explanation_names_the_schedule_of_its_fire(api: Api) -> None:
    api.post("/jobs", several())

    answer = api.get("/jobs/nightly/explain?at=2030-01-05T12:00")

    assert answer.json["outcome"] == "will_run"
    assert answer.json["sentence"].endswith(
        "It is a fire of schedule 2 of 2: At 12:00 on Saturday, Europe/Paris time."
    )


def test_an_explanation_names_the_schedules_that_share_a_fire(api: Api) -> None:
    api.post("/jobs", several() | {"schedules": [{"cron": "0 * * * *"}, {"cron": "*/30 * * * *"}]})

    answer = api.get("/jobs/nightly/explain?at=2030-01-05T12:00")

    assert answer.json["sentence"].endswith(
        "It is one fire of the schedules 1 and 2:"
        " At the start of every hour, UTC; and every 30 minutes, UTC."
    )


def test_an_instant_that_has_passed_keeps_no_other_schedule_from_being_changed(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    once = {"at": "2030-01-01T00:00:00Z"}
    api.post("/jobs", several() | {"schedules": [WEEKDAYS, once]})

    monkeypatch.setattr(clock, "now", lambda: datetime(2031, 1, 1, tzinfo=UTC))
    answer = api.patch("/jobs/nightly", {"schedules": [SATURDAY, once]})

    assert answer.status_code == 200, answer.text


def test_a_job_may_fire_when_jobs_app_starts(api: Api) -> None:
    alone = api.post("/jobs", a_job(schedule={"on": "start", **PARIS})).json
    both = api.post("/jobs", several(name="both") | {"schedules": [{"on": "start"}, WEEKDAYS]}).json
    as_cron = api.post("/jobs", a_job(name="cron", schedule={"cron": "@reboot"})).json
    edited = api.patch("/jobs/nightly", {"schedule": {"cron": "0 9 * * *"}}).json
    again = api.patch("/jobs/nightly", {"schedule": {"on": "start"}}).json

    assert (alone["state"], alone["next_run_at"]) == ("active", None)
    assert alone["description_of_schedule"] == "When jobs-app starts"
    assert {name for name, value in alone["schedule"].items() if value is not None} == {
        *("on", "timezone", "jitter_seconds")
    }
    assert both["next_run_at"] is not None
    assert [schedule.get("on") for schedule in both["schedules"]] == ["start", None]
    assert as_cron["schedule"]["on"] == "start"
    assert "on" not in edited["schedule"]
    assert (again["schedule"]["on"], again["state"]) == ("start", "active")
    assert api.get("/jobs/nightly/next").json["items"] == []
    exported = {name: both[name] for name in ("name", "task", "kwargs", "schedules")}
    assert api.put("/jobs/both", exported).json["schedules"] == both["schedules"]


def test_a_start_has_no_window_and_no_other_event(api: Api) -> None:
    windowed = api.post("/jobs", a_job(schedule={"on": "start", "end_at": "2040-01-01T00:00:00Z"}))
    other = api.post("/jobs", a_job(schedule={"on": "boot"}))
    preview = api.post("/schedules/preview", {"schedule": {"on": "start"}}).json

    assert windowed.json["errors"][0]["pointer"] == "/schedule/end_at"
    assert other.json["errors"][0]["pointer"] == "/schedule/on"
    assert (preview["fires"], preview["description"]) == ([], "When jobs-app starts")
