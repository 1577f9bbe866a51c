"""/jobs/{name}/explain and the dry run of a resume, by HTTP."""

import pytest

from tests.web.conftest import Api


def test_a_fire_to_come_is_explained_with_its_neighbours(api: Api) -> None:
    api.make_job(schedule={"cron": "30 2 * * *", "timezone": "America/New_York"})

    answer = api.get("/jobs/nightly/explain?at=2098-03-09 02:30")

    assert answer.status_code == 200
    assert answer.json == {
        "at": "2098-03-09T07:00:00Z",
        "outcome": "will_run",
        "sentence": "02:30 does not exist on 2098-03-09 in America/New_York: the clock goes from"
        " 02:00 to 03:00, and the fire comes at 03:00. It will run at 2098-03-09 03:00 EDT.",
        "run": None,
        "last_line": None,
        "previous": {
            "at": "2098-03-08T07:30:00Z",
            "local": "2098-03-08T02:30:00-05:00",
            "dst": None,
        },
        "next": {
            "at": "2098-03-10T06:30:00Z",
            "local": "2098-03-10T02:30:00-04:00",
            "dst": None,
        },
    }


@pytest.mark.parametrize(
    "schedule",
    [{"interval_seconds": 1}, {"cron": "* * * * *", "timezone": "Europe/Paris"}],
)
def test_a_fire_beyond_more_fires_than_are_counted_is_unknown(
    api: Api, schedule: dict[str, object]
) -> None:
    api.make_job(schedule=schedule, max_runs=2**31 - 1)

    answer = api.get("/jobs/nightly/explain?at=8990-01-01T00:00:00Z")

    assert (answer.status_code, answer.json["outcome"]) == (200, "unknown")


def test_a_day_of_a_calendar_interval_that_skips_its_time_is_explained(api: Api) -> None:
    anchor = {"anchor_at": "2026-01-01T01:30:00Z", "timezone": "Europe/Paris"}
    api.make_job(schedule={"every": "1 day"} | anchor)

    answer = api.get("/jobs/nightly/explain?at=2098-03-30T02:30").json

    assert answer["outcome"] == "will_run"
    assert "02:30 does not exist on 2098-03-30" in answer["sentence"]
    assert "the fire comes at 03:00" in answer["sentence"]


def test_an_instant_means_the_same_in_every_zone(api: Api) -> None:
    api.make_job(schedule={"cron": "30 2 * * *", "timezone": "Europe/Paris"})

    in_utc = api.get("/jobs/nightly/explain?at=2098-01-02T01:30:00Z").json
    in_paris = api.get("/jobs/nightly/explain?at=2098-01-02T02:30:00%2B01:00").json
    local = api.get("/jobs/nightly/explain?at=2098-01-02T02:30").json

    assert in_utc["outcome"] == "will_run"
    assert in_utc == in_paris == local


def test_without_an_instant_the_next_fire_of_a_new_job_is_explained(api: Api) -> None:
    api.make_job(schedule={"at": "2098-01-01T00:00:00Z"})

    answer = api.get("/jobs/nightly/explain")

    assert (answer.status_code, answer.json["outcome"]) == (200, "will_run")
    assert answer.json["at"] == "2098-01-01T00:00:00Z"


def test_without_an_instant_the_newest_run_of_a_manual_job_is_explained(api: Api) -> None:
    api.make_job(schedule=None)
    started = api.post("/jobs/nightly/runs", {}).json

    answer = api.get("/jobs/nightly/explain")

    assert (answer.json["outcome"], answer.json["run"]) == ("will_run", started)


@pytest.mark.parametrize(
    "at, clock",
    [
        ("02:30", "02:30:00"),
        ("today 02:30", "02:30:00"),
        ("Yesterday 02:30:15", "02:30:15"),
        ("tomorrow  23:59", "23:59:00"),
        ("2:30", "02:30:00"),
        ("2098-01-01 2:30", "02:30:00"),
    ],
)
def test_a_time_may_lack_its_date_or_have_a_word_for_it(api: Api, at: str, clock: str) -> None:
    api.make_job(schedule={"cron": "30 2 * * *", "timezone": "UTC"})

    answer = api.get("/jobs/nightly/explain", query_string={"at": at})

    assert (answer.status_code, answer.json["at"][11:19]) == (200, clock)


@pytest.mark.parametrize("at", ["2098-03-09", "Tomorrow", "tomorrow 02:30", "02:30 tomorrow"])
def test_a_day_without_a_time_means_its_fire(api: Api, at: str) -> None:
    api.make_job(schedule={"cron": "30 2 * * *", "timezone": "America/New_York"})

    answer = api.get("/jobs/nightly/explain", query_string={"at": at})

    assert (answer.status_code, answer.json["outcome"]) == (200, "will_run")


def test_what_is_no_time_is_refused_with_the_forms(api: Api) -> None:
    api.make_job()

    (error,) = api.get("/jobs/nightly/explain?at=2026-03").json["errors"]

    for form in ("2026-12-01 09:00", "02:30", "yesterday", "last night", "2026-12-01T09:00:00Z"):
        assert form in error["detail"]


def test_a_run_comes_with_the_sentence(api: Api) -> None:
    api.make_job(schedule=None)
    started = api.post("/jobs/nightly/runs", {}).json

    minute = started["created_at"][:16] + "Z"

    assert api.get(f"/jobs/nightly/explain?at={minute}").json["run"] == started


@pytest.mark.parametrize(
    "at",
    [
        "",
        "2026-03-8",
        "2026-02-30",
        "8999-12-31",
        "1970-01-01",
        "2026-13-01 02:30",
        "2026-03-08T02:30:00+99:00",
        "2026-03-08 02:30.5",
        "25:00",
        "yesterdays",
        "yesterday02:30",
        "today 02:30Z",
        "monday 02:30",
        "0001-01-01 00:00",
        "9999-12-31T23:59:59Z",
        "\x00",
    ],
)
def test_what_is_no_time_is_refused_with_its_parameter(api: Api, at: str) -> None:
    api.make_job()

    answer = api.get("/jobs/nightly/explain", query_string={"at": at})

    assert answer.status_code == 422
    assert [error["parameter"] for error in answer.json["errors"]] == ["at"]


@pytest.mark.parametrize("name", ["nobody", "NOBODY", "%00"])
def test_a_job_that_never_was_is_not_found(api: Api, name: str) -> None:
    answer = api.get(f"/jobs/{name}/explain")

    assert (answer.status_code, answer.json["code"]) == (404, "job_not_found")


def test_a_deleted_job_is_explained(api: Api) -> None:
    api.make_job()
    api.delete("/jobs/nightly")

    assert api.get("/jobs/nightly/explain").json["outcome"] == "deleted"


def test_a_dry_run_of_a_resume_shows_its_effect_and_changes_nothing(api: Api) -> None:
    api.make_job(schedule={"cron": "0 * * * *"})
    api.post("/jobs/nightly/pause", {"reason": "rest"})
    before = api.facts()

    answer = api.post("/jobs/nightly/resume?dry_run=true", {"on_missed": "all"})

    assert answer.status_code == 200
    assert answer.json["job"]["state"] == "active"
    assert answer.json["job"]["next_run_at"] == answer.json["effect"]["fires_after"][0]["at"]
    effect = answer.json["effect"]
    assert (effect["fires_before"], len(effect["fires_after"])) == ([], 10)
    assert (effect["would_run_now"], effect["catchup_runs"]) == (False, 0)
    assert api.facts() == before
