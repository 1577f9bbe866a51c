"""/jobs: what people do to jobs, by HTTP."""

import sqlite3
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import pytest
from flask import Flask
from pydantic import AfterValidator
from sqlalchemy import event, make_url

from jobs_app.accounts import tokens
from jobs_app.core.settings import Settings
from jobs_app.core.states import RunState
from jobs_app.db.engine import Database
from jobs_app.web import extension
from jobs_app.web import session as web_session
from jobs_app.web.api.schemas.job_input import JobIn
from tests.web.conftest import NOW, Api, a_job, a_run


def test_a_new_job_is_returned_as_the_design_has_it(api: Api) -> None:
    answer = api.post("/jobs", a_job(name="nightly-report", tags=["billing"]))

    assert answer.status_code == 201
    assert answer.headers["Location"] == "/api/v1/jobs/nightly-report"
    assert answer.headers["ETag"] == '"1"'
    job = answer.json
    assert job.pop("created_at").endswith("Z")
    assert job.pop("updated_at").endswith("Z")
    assert job.pop("next_run_at").endswith("Z")
    assert job.pop("description_of_schedule")
    assert job.pop("schedules") == [job["schedule"]]
    assert job == {
        "id": 1,
        "name": "nightly-report",
        "description": "",
        "tags": ["billing"],
        "task": "shell",
        "kwargs": {"command": "true"},
        "run_arguments": [],
        "confirm": False,
        "origin": None,
        "schedule": {
            "cron": "30 2 * * *",
            "timezone": "Europe/Paris",
            "start_at": None,
            "end_at": None,
            "jitter_seconds": 0,
        },
        "observe": False,
        "observing_since": None,
        "overlap_policy": "skip",
        "starting_deadline_seconds": 60,
        "catchup_policy": "last",
        "catchup_window_seconds": 86400,
        "catchup_max_runs": 50,
        "retry": {
            "max_attempts": 1,
            "delay_seconds": 30.0,
            "backoff": "exponential",
            "max_delay_seconds": 600.0,
            "jitter": True,
            "on": ["failed", "timed_out", "lost"],
        },
        "soft_time_limit_seconds": None,
        "time_limit_seconds": None,
        "kill_grace_seconds": 10,
        "queue": "default",
        "priority": 5,
        "concurrency_key": None,
        "concurrency_limit": None,
        "max_runs": None,
        "pause_after_failures": None,
        "retention": {
            "keep_runs": None,
            "keep_days": None,
            "keep_failed_days": None,
            "keep_log_days": None,
        },
        "notify": None,
        "version": 1,
        "state": "active",
        "paused": None,
        "last_run": None,
        "scheduling_error": None,
        "warnings": ["No worker serves the queue 'default': its runs will wait."],
        "declared": {},
        "environment": [],
    }
    assert api.get("/jobs/nightly-report").json == answer.json


def test_a_job_that_is_created_paused_fires_only_after_a_resume(api: Api) -> None:
    job = a_job(name="x", schedule={"cron": "* * * * *"}, origin="crontab a:b")
    answer = api.post("/jobs?paused=true", job)

    assert answer.status_code == 201
    assert (answer.json["state"], answer.json["next_run_at"]) == ("paused", None)
    assert answer.json["paused"]["reason"] == "created paused"
    assert answer.json["origin"] == "crontab a:b"
    assert api.get("/jobs/x/next").json == {"items": []}
    assert api.post("/jobs/x/resume", {}).json["next_run_at"] is not None


@pytest.mark.parametrize(
    "schedule, fields",
    [
        ({"interval_seconds": 30}, {"interval_seconds", "anchor_at"}),
        ({"every": "14d"}, {"every", "anchor_at"}),
        ({"every": "15 minutes"}, {"interval_seconds", "anchor_at"}),
        ({"cron": "@daily"}, {"cron"}),
        ({"at": "2099-12-01T09:00:00+01:00"}, {"at"}),
    ],
)
def test_a_schedule_is_returned_with_the_fields_of_its_kind_only(
    api: Api, schedule: dict[str, Any], fields: set[str]
) -> None:
    job = api.make_job(schedule=schedule)

    common = {"timezone", "start_at", "end_at", "jitter_seconds"}
    assert set(job["schedule"]) == fields | common
    assert job["schedule"]["timezone"] == "UTC"


def test_an_instant_is_returned_in_utc(api: Api) -> None:
    job = api.make_job(schedule={"at": "2099-12-01T09:00:00+01:00"})

    assert job["schedule"]["at"] == job["next_run_at"] == "2099-12-01T08:00:00Z"


def test_a_job_without_schedule_is_only_run_by_hand(api: Api) -> None:
    job = api.make_job(schedule=None)

    assert (job["schedule"], job["next_run_at"], job["state"]) == (None, None, "active")


def test_a_job_as_it_was_returned_can_be_sent_back(api: Api) -> None:
    job = api.make_job(schedule={"interval_seconds": 30})
    sent = {name: job[name] for name in job if name in a_job() or name in WRITABLE}

    answer = api.put("/jobs/nightly", sent, if_match='"1"')

    assert answer.status_code == 200
    assert {name: answer.json[name] for name in sent} == sent


WRITABLE = {
    "description",
    "tags",
    "overlap_policy",
    "starting_deadline_seconds",
    "catchup_policy",
    "catchup_window_seconds",
    "catchup_max_runs",
    "retry",
    "soft_time_limit_seconds",
    "time_limit_seconds",
    "kill_grace_seconds",
    "queue",
    "priority",
    "concurrency_key",
    "concurrency_limit",
    "max_runs",
    "pause_after_failures",
    "retention",
}


def test_replacing_a_job_sets_what_is_left_out_to_its_default(api: Api) -> None:
    api.make_job(description="old", priority=9, schedule={"interval_seconds": 30})

    job = api.put("/jobs/nightly", {"task": "sleep", "kwargs": {"duration": 1}}).json

    assert (job["name"], job["version"]) == ("nightly", 2)
    assert (job["description"], job["priority"], job["schedule"]) == ("", 5, None)


def test_replacing_a_job_that_does_not_exist_creates_none(api: Api) -> None:
    answer = api.put("/jobs/nightly", a_job())

    assert answer.status_code == 404
    assert api.get("/jobs").json["items"] == []


def test_a_job_without_its_concurrency_key_has_no_limit_either(api: Api) -> None:
    api.make_job(concurrency_key="db-main", concurrency_limit=2)

    answer = api.patch("/jobs/nightly", {"concurrency_key": None})

    assert (answer.json["concurrency_key"], answer.json["concurrency_limit"]) == (None, None)


def test_a_job_can_be_renamed(api: Api) -> None:
    api.make_job("nightly")

    answer = api.patch("/jobs/nightly", {"name": "nocturnal"})

    assert answer.json["name"] == "nocturnal"
    assert api.get("/jobs/nightly").status_code == 404
    assert api.get("/jobs/nocturnal").json["id"] == answer.json["id"]


PATCHES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "one field": ({"priority": 1}, {"priority": 1, "description": "old"}),
    "null where there may be null": ({"time_limit_seconds": None}, {"time_limit_seconds": None}),
    "null elsewhere is the default": ({"description": None}, {"description": ""}),
    "an argument more": (
        {"kwargs": {"cwd": "/tmp"}},
        {"kwargs": {"command": "true", "cwd": "/tmp"}},
    ),
    "a part of the retry policy": (
        {"retry": {"max_attempts": 3}},
        {
            "retry": {
                "max_attempts": 3,
                "delay_seconds": 5.0,
                "backoff": "exponential",
                "max_delay_seconds": 600.0,
                "jitter": True,
                "on": ["failed", "timed_out", "lost"],
            }
        },
    ),
    "a key without a limit": (
        {"concurrency_key": "db-main"},
        {"concurrency_key": "db-main", "concurrency_limit": 1},
    ),
    "a list is replaced": ({"tags": ["new"]}, {"tags": ["new"]}),
    "no schedule": ({"schedule": None}, {"schedule": None, "next_run_at": None}),
    "nothing": ({}, {"description": "old"}),
}


@pytest.mark.parametrize("patch, expected", PATCHES.values(), ids=PATCHES)
def test_a_patch_changes_what_it_names(
    api: Api, patch: dict[str, Any], expected: dict[str, Any]
) -> None:
    api.make_job(description="old", tags=["old"], retry={"delay_seconds": 5})

    job = api.patch("/jobs/nightly", patch).json

    assert {name: job[name] for name in expected} == expected


def test_an_argument_is_taken_away_by_null(api: Api) -> None:
    api.make_job(kwargs={"command": "true", "cwd": "/tmp"})

    job = api.patch("/jobs/nightly", {"kwargs": {"cwd": None}}).json

    assert job["kwargs"] == {"command": "true"}


def test_a_patch_of_the_schedule_keeps_what_it_does_not_name(api: Api) -> None:
    api.make_job(schedule={"cron": "30 2 * * *", "timezone": "Europe/Paris", "jitter_seconds": 9})

    schedule = api.patch("/jobs/nightly", {"schedule": {"cron": "0 3 * * *"}}).json["schedule"]

    assert (schedule["cron"], schedule["timezone"]) == ("0 3 * * *", "Europe/Paris")
    assert schedule["jitter_seconds"] == 9


def test_a_zone_in_front_of_a_new_expression_replaces_the_old_zone(api: Api) -> None:
    job = api.make_job(schedule={"cron": "TZ=Europe/Paris 30 2 * * *"})
    changed = api.patch("/jobs/nightly", {"schedule": {"cron": "CRON_TZ=Asia/Tokyo 0 3 * * *"}})
    both = {"cron": "TZ=Asia/Tokyo 0 3 * * *", "timezone": "UTC"}
    refused = api.patch("/jobs/nightly", {"schedule": both})

    assert (job["schedule"]["cron"], job["schedule"]["timezone"]) == ("30 2 * * *", "Europe/Paris")
    schedule = changed.json["schedule"]
    assert (schedule["cron"], schedule["timezone"]) == ("0 3 * * *", "Asia/Tokyo")
    assert refused.status_code == 422
    assert [error["pointer"] for error in refused.json["errors"]] == ["/schedule/cron"]


def test_a_patch_with_another_kind_of_schedule_replaces_the_kind(api: Api) -> None:
    api.make_job(schedule={"cron": "30 2 * * *", "timezone": "Europe/Paris"})

    schedule = api.patch("/jobs/nightly", {"schedule": {"interval_seconds": 60}}).json["schedule"]
    again = api.patch("/jobs/nightly", {"schedule": {"cron": "0 3 * * *"}}).json["schedule"]

    assert (schedule["interval_seconds"], schedule["timezone"]) == (60, "Europe/Paris")
    assert "cron" not in schedule
    assert again["cron"] == "0 3 * * *"
    assert "interval_seconds" not in again
    assert "anchor_at" not in again


def test_an_interval_of_the_calendar_keeps_its_anchor_in_another_length(api: Api) -> None:
    start = "2099-12-04T08:00:00Z"
    schedule = {"every": "2 WEEKS", "start_at": start, "timezone": "Europe/Paris"}

    preview = api.post("/schedules/preview", {"schedule": schedule, "count": 10}).json
    job = api.make_job(schedule=schedule)
    longer = api.patch("/jobs/nightly", {"schedule": {"every": "1 month"}}).json
    seconds = api.patch("/jobs/nightly", {"schedule": {"interval_seconds": 60}}).json
    cron = api.patch("/jobs/nightly", {"schedule": {"cron": "@daily"}}).json

    assert [fire["local"][11:16] for fire in preview["fires"]] == ["09:00"] * 10
    assert {fire["at"][11:16] for fire in preview["fires"]} == {"08:00", "07:00"}
    assert (job["next_run_at"], job["schedule"]["every"]) == (start, "2 weeks")
    assert job["description_of_schedule"].startswith("Every 2 weeks on Friday at 09:00")
    assert (longer["schedule"]["every"], longer["schedule"]["anchor_at"]) == ("1 month", start)
    assert (seconds["schedule"]["anchor_at"], "every" in seconds["schedule"]) == (start, False)
    assert cron["schedule"].keys().isdisjoint({"every", "anchor_at", "interval_seconds"})


def test_a_patch_may_come_as_merge_patch(api: Api) -> None:
    api.make_job()

    answer = api.send(
        "PATCH",
        "/jobs/nightly",
        data=b'{"priority": 1}',
        content_type="application/merge-patch+json",
        headers={"If-Match": '"1"'},
    )

    assert answer.json["priority"] == 1


def test_a_deleted_job_frees_its_name_and_leaves_its_history(api: Api) -> None:
    api.make_job()
    run = api.post("/jobs/nightly/runs", {}).json

    answer = api.delete("/jobs/nightly", if_match='"1"')

    assert (answer.status_code, answer.text) == (204, "")
    assert api.get("/jobs/nightly").status_code == 404
    assert api.get(f"/runs/{run['id']}").json["state"] == "cancelled"
    assert api.make_job()["id"] > 1


def test_a_purged_job_leaves_nothing(api: Api) -> None:
    api.make_job()
    run = api.post("/jobs/nightly/runs", {}).json

    answer = api.delete("/jobs/nightly?purge=true")

    assert answer.status_code == 204
    assert api.get(f"/runs/{run['id']}").status_code == 404


def test_jobs_are_listed_by_name_page_by_page(api: Api) -> None:
    for name in ("c", "a", "e", "b", "d"):
        api.make_job(name)

    first = api.get("/jobs?limit=2")
    second = api.send("GET", "/" + first.headers["Link"][1:].partition(">")[0])
    third = api.get("/jobs", query_string={"limit": 2, "cursor": second.json["next_cursor"]})

    pages = [[job["name"] for job in page.json["items"]] for page in (first, second, third)]
    assert pages == [["a", "b"], ["c", "d"], ["e"]]
    assert first.headers["Link"].endswith('; rel="next"')
    assert third.json["next_cursor"] is None
    assert "Link" not in third.headers


def test_a_list_that_just_fits_has_no_next_page(api: Api) -> None:
    api.make_job("a")
    api.make_job("b")

    assert api.get("/jobs?limit=2").json["next_cursor"] is None


FILTERS = {
    "tag": ("tag=billing", ["b"]),
    "tag that is part of one": ("tag=bill", []),
    "queue": ("queue=slow", ["c"]),
    "state": ("state=paused", ["a"]),
    "never run": ("state=never_run", ["a", "c"]),
    "no next fire": ("state=no_next_fire", ["a"]),
    "failing": ("state=failing", []),
    "text in the name": ("q=A", ["a"]),
    "text in the description": ("q=invoices", ["b"]),
    "percent is no wildcard": ("q=%25", []),
    "last state": ("last_state=queued", ["b"]),
    "last states": ("last_state=queued,failed", ["b"]),
    "states": ("state=paused,failing", ["a"]),
    "a state again": ("state=failing&state=paused", ["a"]),
    "two of them": ("tag=billing&queue=slow", []),
}


@pytest.mark.parametrize("query, names", FILTERS.values(), ids=FILTERS)
def test_a_list_shows_what_was_asked_for(api: Api, query: str, names: list[str]) -> None:
    api.make_job("a")
    api.make_job("b", tags=["billing", "eu"], description="Send the Invoices")
    api.make_job("c", queue="slow")
    api.post("/jobs/a/pause", {})
    api.post("/jobs/b/runs", {})

    assert [job["name"] for job in api.get(f"/jobs?{query}").json["items"]] == names


def test_a_pause_with_an_end_says_so_and_has_next_fires(api: Api) -> None:
    api.make_job("a")
    end = "2099-01-01T00:00:00Z"

    paused = api.post("/jobs/a/pause", {"reason": "moving", "until": end})
    fires = api.get("/jobs/a/next?count=1").json["items"]
    past = api.post("/jobs/a/pause", {"until": "2026-01-01T00:00:00Z"})
    resumed = api.post("/jobs/a/resume", {})

    assert paused.json["paused"]["until"] == end
    assert [fire["at"] for fire in fires] == ["2099-01-01T01:30:00Z"]
    assert (past.status_code, past.json["errors"][0]["pointer"]) == (422, "/until")
    assert resumed.json["paused"] is None


def test_a_list_in_another_order_is_read_page_by_page(api: Api) -> None:
    for name in ("a", "b", "c"):
        api.make_job(name)
    api.post("/jobs/b/runs", {})
    first = api.get("/jobs?limit=1&sort=last").json

    rest = api.get(f"/jobs?sort=last&cursor={first['next_cursor']}").json["items"]
    wrong = api.get(f"/jobs?sort=next&cursor={first['next_cursor']}")

    assert [job["name"] for job in first["items"] + rest] == ["b", "a", "c"]
    assert (wrong.status_code, wrong.json["code"]) == (400, "bad_cursor")


def test_a_job_shows_its_last_run(api: Api) -> None:
    api.make_job()
    run = api.post("/jobs/nightly/runs", {}).json

    last = api.get("/jobs/nightly").json["last_run"]

    assert last == {
        "id": run["id"],
        "state": "queued",
        "scheduled_for": None,
        "started_at": None,
        "finished_at": None,
    }
    assert api.get("/jobs").json["items"][0]["last_run"] == last


def test_a_paused_job_has_no_next_run_until_it_is_resumed(api: Api) -> None:
    job = api.make_job()

    paused = api.post("/jobs/nightly/pause", {"reason": "holidays"}).json
    fires = api.get("/jobs/nightly/next").json["items"]
    resumed = api.post("/jobs/nightly/resume", {"on_missed": "skip"}).json

    assert (paused["state"], paused["next_run_at"], fires) == ("paused", None, [])
    assert (paused["paused"]["by"], paused["paused"]["reason"]) == ("tester", "holidays")
    assert (resumed["state"], resumed["paused"]) == ("active", None)
    assert resumed["next_run_at"] == job["next_run_at"]


@pytest.mark.parametrize("verb", ["pause", "resume", "runs"])
def test_a_body_may_be_left_out_where_nothing_in_it_is_needed(api: Api, verb: str) -> None:
    api.make_job()

    assert api.send("POST", f"/jobs/nightly/{verb}").status_code in {200, 202}


def test_next_lists_the_fires_with_their_local_time(api: Api) -> None:
    api.make_job(schedule={"cron": "30 2 * * *", "timezone": "America/New_York"})

    answer = api.get("/jobs/nightly/next?from=2099-03-07T12:00:00Z&count=2")

    assert answer.json == {
        "items": [
            {"at": "2099-03-08T07:00:00Z", "local": "2099-03-08T03:00:00-04:00", "dst": "gap"},
            {"at": "2099-03-09T06:30:00Z", "local": "2099-03-09T02:30:00-04:00", "dst": None},
        ]
    }


def test_next_ends_where_it_was_asked_to(api: Api) -> None:
    api.make_job(schedule={"cron": "0 * * * *"})

    answer = api.get("/jobs/nightly/next?from=2099-01-01T00:00:00Z&to=2099-01-01T02:00:00Z")

    assert [fire["at"][11:16] for fire in answer.json["items"]] == ["01:00", "02:00"]


def test_next_counts_no_more_fires_than_runs_are_left(api: Api) -> None:
    api.make_job(max_runs=2)

    assert len(api.get("/jobs/nightly/next").json["items"]) == 2


def test_a_dry_run_shows_the_job_and_stores_nothing(api: Api) -> None:
    before = api.facts()

    answer = api.post("/jobs?dry_run=true", a_job(schedule={"cron": "0 * * * *"}))

    assert answer.status_code == 200
    assert answer.json["job"]["name"] == "nightly"
    effect = answer.json["effect"]
    assert effect["fires_before"] == []
    assert len(effect["fires_after"]) == 10
    assert (effect["would_run_now"], effect["catchup_runs"]) == (False, 0)
    assert api.facts() == before


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
def test_a_dry_run_of_a_change_shows_the_fires_before_and_after(api: Api, method: str) -> None:
    api.make_job(schedule={"cron": "0 6 * * *"})
    before = api.facts()

    answer = api.send(
        method,
        "/jobs/nightly?dry_run=true",
        json=a_job(schedule={"cron": "0 7 * * *"}),
        headers={"If-Match": '"1"'},
    )

    effect = answer.json["effect"]
    assert effect["fires_before"][0]["local"][11:16] == "06:00"
    assert effect["fires_after"][0]["local"][11:16] == "07:00"
    assert answer.json["job"]["next_run_at"] == effect["fires_after"][0]["at"]
    assert api.facts() == before


def test_a_dry_run_refuses_what_the_change_would_refuse(api: Api) -> None:
    api.make_job("a")
    api.make_job("b")

    taken = api.post("/jobs?dry_run=true", a_job(name="a"))
    renamed = api.patch("/jobs/b?dry_run=true", {"name": "a"})
    stale = api.patch("/jobs/b?dry_run=true", {"priority": 1}, if_match='"9"')
    bad = api.patch("/jobs/b?dry_run=true", {"task": "shel"})

    assert [taken.status_code, renamed.status_code] == [409, 409]
    assert (stale.status_code, bad.status_code) == (412, 422)


def test_the_preview_needs_no_job(api: Api) -> None:
    answer = api.post(
        "/schedules/preview",
        {
            "schedule": {"cron": "30 1 * * *", "timezone": "America/New_York"},
            "from": "2026-10-31T12:00:00Z",
            "count": 2,
        },
    )

    assert answer.status_code == 200
    assert answer.json["description"]
    assert [fire["dst"] for fire in answer.json["fires"]] == ["repeat", None]
    assert isinstance(answer.json["warnings"], list)


@pytest.mark.parametrize(
    "schedule, pointer",
    [
        ({"cron": "61 * * * *"}, "/schedule/cron"),
        ({"cron": "* * * * *", "at": "2099-01-01T00:00:00Z"}, "/schedule"),
        ({"interval_seconds": 0}, "/schedule/interval_seconds"),
        ({"every": "fortnight"}, "/schedule/every"),
        ({"every": "2"}, "/schedule/every"),
        ({"every": "0.5 s"}, "/schedule/every"),
        ({"every": "0 s"}, "/schedule/interval_seconds"),
        ({"every": "11 years"}, "/schedule/every"),
    ],
)
def test_the_preview_refuses_a_bad_schedule(
    api: Api, schedule: dict[str, Any], pointer: str
) -> None:
    answer = api.post("/schedules/preview", {"schedule": schedule})

    assert answer.status_code == 422
    assert [error["pointer"] for error in answer.json["errors"]] == [pointer]


def test_the_preview_of_an_interval_agrees_with_the_job_about_its_start(api: Api) -> None:
    start = "2099-12-04T08:00:00Z"
    schedule = {"interval_seconds": 14 * 86_400, "start_at": start}

    preview = api.post("/schedules/preview", {"schedule": schedule, "count": 2}).json
    job = api.post("/jobs", a_job(schedule=schedule)).json

    assert [fire["at"] for fire in preview["fires"]] == [start, "2099-12-18T08:00:00Z"]
    assert job["next_run_at"] == start


def test_the_preview_of_an_interval_counts_from_now(api: Api) -> None:
    asked_at = datetime.now(UTC)

    answer = api.post("/schedules/preview", {"schedule": {"interval_seconds": 60}, "count": 1})

    first = datetime.fromisoformat(answer.json["fires"][0]["at"])
    assert timedelta(seconds=59) < first - asked_at < timedelta(seconds=90)


def test_who_did_what_is_on_record(api: Api) -> None:
    api.make_job()
    api.make_job("other")
    api.patch("/jobs/nightly", {"priority": 1})
    api.post("/jobs/nightly/pause", {"reason": "holidays"})

    events = api.get("/audit?job=nightly").json["items"]

    assert [event["action"] for event in events] == ["pause", "change", "create"]
    assert {event["actor"] for event in events} == {"tester"}
    assert {event["job"] for event in events} == {"nightly"}
    assert events[1]["detail"]["after"]["priority"] == 1


def test_the_audit_shows_the_token_and_the_address_of_each_change(
    api: Api, database: Database
) -> None:
    with database.reading() as session:
        token = tokens.find(session, api.token, at=NOW)
    assert token is not None
    outside = {"environ_base": {"REMOTE_ADDR": "192.0.2.7"}}

    api.post("/jobs", a_job(), **outside)
    api.send("PATCH", "/jobs/nightly", json={"priority": 1}, headers={"If-Match": "*"}, **outside)
    api.post("/jobs/nightly/pause", {}, **outside)
    run = api.post("/jobs/nightly/runs", {}, **outside).json
    api.post(f"/runs/{run['id']}/cancel", {}, **outside)
    api.send("PUT", "/secrets/KEY", json={"value": "abcdef"}, **outside)
    api.post("/channels", {"name": "ops", "url": "json://example.org"}, **outside)
    api.send("DELETE", "/jobs/nightly?purge=true", headers={"If-Match": "*"}, **outside)

    events = api.get("/audit").json["items"]
    assert len({event["action"] for event in events}) >= 8
    assert {event["token_id"] for event in events} == {token.id}
    assert {event["remote_address"] for event in events} == {"192.0.2.7"}
    assert events[-1]["job"] is None


def test_the_audit_is_listed_page_by_page(api: Api) -> None:
    for name in ("a", "b", "c"):
        api.make_job(name)

    first = api.get("/audit?limit=2").json
    second = api.get("/audit", query_string={"limit": 2, "cursor": first["next_cursor"]}).json

    assert [len(page["items"]) for page in (first, second)] == [2, 1]
    assert second["next_cursor"] is None


def test_the_audit_can_be_filtered(api: Api) -> None:
    api.make_job("a")
    api.post("/jobs/a/pause", {})
    query = "person=tester&action=pause&via=api&job=a&from=2026-01-01T00:00:00Z"

    events = api.get(f"/audit?{query}").json["items"]

    assert [event["action"] for event in events] == ["pause"]
    assert api.get(f"/audit?{query}&to=2026-01-02T00:00:00Z").json["items"] == []
    assert api.get("/audit?via=post").status_code == 422
    assert len(api.get("/audit?action=pause,create&via=api&via=page").json["items"]) == 2


def test_the_audit_has_all_of_a_job(api: Api) -> None:
    api.make_job("a", retry={"max_attempts": 3}, kwargs={"command": "echo hello"})

    (event,) = api.get("/audit").json["items"]

    after = event["detail"]["after"]
    # A job with one schedule has it as `schedule` alone.
    assert set(JobIn.model_fields) - {"schedules"} == set(after)
    assert (after["retry"]["max_attempts"], after["retry"]["on"][0]) == (3, "failed")
    assert after["kwargs"] == {"command": "echo hello"}


def test_the_audit_shows_which_arguments_were_changed(api: Api) -> None:
    env = {"env": {"API_KEY": "hunter1"}}
    api.make_job("a", kwargs={"command": "echo hello", **env})
    api.patch("/jobs/a", {"kwargs": {"command": "echo bye", **env}})
    api.patch("/jobs/a", {"kwargs": {"command": "echo bye", "env": {"API_KEY": "hunter2"}}})
    api.patch("/jobs/a", {"description": "new"})

    answer = api.get("/audit")
    described, masked, command, _ = (event["detail"] for event in answer.json["items"])

    assert command["before"]["kwargs"]["command"] == "echo hello"
    assert command["after"]["kwargs"]["command"] == "echo bye"
    assert masked["before"]["kwargs"] == masked["after"]["kwargs"]
    changed = [event["changed_arguments"] for event in (command, masked, described)]
    assert changed == [["command"], ["env"], []]
    assert "hunter" not in answer.text


def test_the_tasks_are_listed_with_their_arguments(api: Api) -> None:
    answer = api.get("/tasks").json
    assert answer["broken_modules"] == []
    tasks = {task["name"]: task for task in answer["items"]}

    assert {"shell", "http", "email", "sleep"} <= set(tasks)
    assert tasks["sleep"]["schema"] == {
        "type": "object",
        "properties": {
            "duration": {
                "type": "number",
                "minimum": 0,
                "description": "The time to wait, seconds.",
                "examples": [10],
            }
        },
        "required": ["duration"],
        "additionalProperties": False,
        "examples": [{"duration": 10}],
    }
    assert not any(name.startswith(("celery.", "jobs_app.")) for name in tasks)


def test_a_task_that_is_odd_though_not_wrong_is_saved_with_a_warning(api: Api) -> None:
    kwargs = {"url": "https://example.com/", "verify": False}

    made = api.make_job(task="http", kwargs=kwargs)
    preview = api.post("/jobs?dry_run=true", a_job(name="other", task="http", kwargs=kwargs)).json

    assert any("verify is false" in warning for warning in made["warnings"])
    assert any("verify is false" in warning for warning in preview["effect"]["warnings"])


def test_a_patch_of_retention_is_merged_and_null_is_the_default(api: Api) -> None:
    api.make_job(retention={"keep_runs": 5, "keep_failed_days": 30})

    changed = api.patch("/jobs/nightly", {"retention": {"keep_runs": None, "keep_days": 7}}).json

    assert changed["retention"] == {
        "keep_runs": None,
        "keep_days": 7,
        "keep_failed_days": 30,
        "keep_log_days": None,
    }
    assert api.patch("/jobs/nightly", {"retention": None}).json["retention"]["keep_days"] is None


@pytest.mark.parametrize("value", [0, -1, 36_501, "7", 1.5, False])
def test_history_is_kept_for_days_that_make_sense(api: Api, value: Any) -> None:
    answer = api.post("/jobs", a_job(retention={"keep_days": value}))

    assert answer.status_code == 422
    assert answer.json["errors"][0]["pointer"] == "/retention/keep_days"


@pytest.fixture
def lock_probe(app: Flask, settings: Settings) -> Iterator[list[bool]]:
    """Have the task `probe`, whose validator tells whether others may write; list the answers."""
    file = make_url(settings.effective_database_url).database
    answers: list[bool] = []

    def is_free(value: int) -> int:
        connection = sqlite3.connect(str(file), timeout=0, isolation_level=None)
        try:
            connection.execute("BEGIN IMMEDIATE")
            answers.append(True)
        except sqlite3.OperationalError:
            answers.append(False)
        finally:
            connection.close()
        return value

    def probe(value: Annotated[int, AfterValidator(is_free)] = 1) -> None:
        """Do nothing."""

    with app.app_context():
        celery = extension.current().celery
    celery.task(name="probe", shared=False)(probe)
    yield answers
    celery.tasks.pop("probe")


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("has_key", [False, True], ids=["without a key", "with a key"])
def test_validators_of_users_hold_up_no_writer(
    api: Api, lock_probe: list[bool], has_key: bool
) -> None:
    def post(path: str, body: Any) -> Any:
        headers = {"Idempotency-Key": f"{path}-{body}".replace(" ", "")} if has_key else {}
        answer = api.post(path, body, headers=headers)
        assert answer.status_code < 300, answer.text
        return answer

    job = a_job(task="probe", kwargs={"value": 1})
    post("/jobs?dry_run=true", job)
    post("/jobs", job)
    changed = job | {"kwargs": {"value": 2}}
    assert (
        api.send(
            "PUT", "/jobs/nightly?dry_run=true", json=changed, headers={"If-Match": "*"}
        ).status_code
        == 200
    )
    assert api.put("/jobs/nightly", changed).status_code == 200
    assert api.patch("/jobs/nightly", {"kwargs": {"value": 3}}).status_code == 200
    started = post("/jobs/nightly/runs", {"kwargs": {"value": 4}})
    post(f"/runs/{started.json['id']}/cancel", {})
    post(f"/runs/{started.json['id']}/retry", {"kwargs": {"value": 5}})
    post("/runs", {"task": "probe", "kwargs": {"value": 6}})
    post("/jobs/nightly/pause", {})
    post("/jobs/nightly/resume?dry_run=true", {})
    post("/jobs/nightly/resume", {})

    assert len(lock_probe) >= 8
    assert all(lock_probe), lock_probe


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("headers", [{}, {"Idempotency-Key": "1"}], ids=["without", "with a key"])
@pytest.mark.parametrize(
    "path, body",
    [
        ("/jobs", a_job(task="shell", kwargs={"command": "true", "env": {"A": "${secret:A}"}})),
        ("/jobs/old/runs", {"kwargs": {"env": {"A": "${secret:A}"}}}),
        ("/runs", {"task": "shell", "kwargs": {"command": "true", "env": {"A": "${secret:A}"}}}),
    ],
)
def test_references_are_checked_and_rows_shown_without_a_lock(
    api: Api, app: Flask, path: str, body: Any, headers: dict[str, str]
) -> None:
    api.make_job("old")
    assert api.put("/secrets/A", {"value": "1" * 20}).status_code == 201
    locked: list[str] = []
    is_locked = False

    def watch(_: Any, __: Any, statement: str, *___: Any) -> None:
        nonlocal is_locked
        is_locked = statement.startswith("BEGIN IMMEDIATE") or is_locked
        if is_locked:
            locked.append(statement)

    def unlock(_: Any) -> None:
        nonlocal is_locked
        is_locked = False

    with app.app_context():
        engine = web_session.database.engine
    listeners: dict[str, Callable[..., Any]]
    listeners = {"before_cursor_execute": watch, "commit": unlock, "rollback": unlock}
    for name, listener in listeners.items():
        event.listen(engine, name, listener)
    answer = api.post(path, body, headers=headers)
    # Other tests use the same application.
    for name, listener in listeners.items():
        event.remove(engine, name, listener)

    assert answer.status_code in {201, 202}
    written = [statement.split()[:2] for statement in locked if "SELECT" not in statement]
    assert ["INSERT", "INTO"] in written
    # A job holds its secrets, by name and a hundred at most; nothing else of them is read.
    held = [statement for statement in locked if "FROM secrets" in statement]
    assert len(held) == (1 if path == "/jobs" else 0)
    assert not [statement for statement in locked if "FROM idempotency_keys" in statement]
    assert not [statement for statement in locked if "SELECT runs.result" in statement]


def test_a_job_that_only_watches_is_found_and_its_fires_are(api: Api, store) -> None:
    watching = api.make_job("watching", observe=True)
    api.make_job("running")
    store(a_run(RunState.OBSERVED, job_id=watching["id"], scheduled_for=NOW))
    store(a_run(RunState.SUCCEEDED, job_id=watching["id"]))

    found = api.get("/jobs?state=observing&include=facets").json

    assert [item["name"] for item in found["items"]] == ["watching"]
    assert found["facets"]["states"]["observing"] == 1
    (observed,) = api.get("/runs?state=observed").json["items"]
    assert (observed["job"], observed["state"]) == ("watching", "observed")
    assert api.get("/jobs?last_state=observed").status_code == 200


def test_a_switch_is_one_field_and_keeps_the_next_fire(api: Api) -> None:
    made = api.make_job()

    watching = api.patch("/jobs/nightly", {"observe": True}).json
    again = api.patch("/jobs/nightly", {"description": "x"}).json
    running = api.patch("/jobs/nightly", {"observe": False}).json
    refused = api.patch("/jobs/nightly", {"observing_since": None})

    assert (made["observing_since"], running["observing_since"]) == (None, None)
    assert watching["observing_since"] is not None
    assert again["observing_since"] == watching["observing_since"]
    assert {made["next_run_at"], watching["next_run_at"], running["next_run_at"]} == {
        made["next_run_at"]
    }
    assert refused.status_code == 422


def test_a_job_that_only_watches_is_started_by_hand_as_any_other(api: Api) -> None:
    api.make_job(observe=True)

    started = api.post("/jobs/nightly/runs", {})

    assert (started.status_code, started.json["state"]) == (202, "queued")
