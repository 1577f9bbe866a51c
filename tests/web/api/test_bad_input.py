"""What the issue lists as bad input: a status, a code, a pointer, and nothing changed."""

from typing import Any

import pytest

from tests.web.conftest import Api, a_job

CRON = "/schedule/cron"


def scheduled(**schedule: Any) -> dict[str, Any]:
    return a_job(schedule=schedule)


def _nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


BAD_JOBS = {
    "minute 61": (scheduled(cron="61 * * * *"), CRON, "out_of_range"),
    "six fields": (scheduled(cron="0 0 30 2 * *"), CRON, None),
    "never fires": (scheduled(cron="0 0 30 2 *"), CRON, "never_fires"),
    "empty cron": (scheduled(cron=""), CRON, None),
    "cron of numbers": (scheduled(cron=5), CRON, "wrong_type"),
    "two schedules": (scheduled(cron="* * * * *", interval_seconds=5), "/schedule", "one_schedule"),
    "no schedule in it": (scheduled(timezone="UTC"), "/schedule", "one_schedule"),
    "anchor without interval": (
        scheduled(cron="* * * * *", anchor_at="2026-01-01T00:00:00Z"),
        "/schedule/anchor_at",
        "not_an_interval",
    ),
    "unknown zone": (
        scheduled(cron="* * * * *", timezone="Europe/Pariss"),
        "/schedule/timezone",
        "unknown_timezone",
    ),
    "interval 0": (scheduled(interval_seconds=0), "/schedule/interval_seconds", None),
    "negative interval": (scheduled(interval_seconds=-5), "/schedule/interval_seconds", None),
    "interval 10^12": (scheduled(interval_seconds=10**12), "/schedule/interval_seconds", None),
    "interval 10^30": (
        scheduled(interval_seconds=10**30),
        "/schedule/interval_seconds",
        "out_of_range",
    ),
    "interval of half a second": (
        scheduled(interval_seconds=0.5),
        "/schedule/interval_seconds",
        "wrong_type",
    ),
    "at in the past": (scheduled(at="2020-01-01T00:00:00Z"), "/schedule/at", None),
    "at without an offset": (
        scheduled(at="2036-01-01T00:00:00"),
        "/schedule/at",
        "not_an_instant",
    ),
    "at on a day that does not exist": (
        scheduled(at="2036-02-30T00:00:00Z"),
        "/schedule/at",
        "not_an_instant",
    ),
    "at before year 1": (scheduled(at="0001-01-01T00:00:00+23:00"), "/schedule/at", None),
    "unknown task": (a_job(task="shel"), "/task", "unknown_task"),
    "no task": ({"name": "nightly"}, "/task", "missing"),
    "unknown argument": (
        a_job(kwargs={"command": "true", "comand": "x"}),
        "/kwargs/comand",
        "unknown_argument",
    ),
    "missing argument": (a_job(kwargs={}), "/kwargs", "missing_argument"),
    "argument of the wrong type": (a_job(kwargs={"command": 5}), "/kwargs/command", "wrong_type"),
    "empty command": (a_job(kwargs={"command": ""}), "/kwargs/command", "too_short"),
    "blank command": (a_job(kwargs={"command": " \n"}), "/kwargs/command", "blank"),
    "variable with =": (
        a_job(kwargs={"command": "x", "env": {"A=B": "1"}}),
        "/kwargs/env/A=B",
        "bad_name",
    ),
    "sleep backwards": (
        a_job(task="sleep", kwargs={"duration": -1}),
        "/kwargs/duration",
        "too_small",
    ),
    "url of another kind": (
        a_job(task="http", kwargs={"url": "ftp://example.com/"}),
        "/kwargs/url",
        "bad_url",
    ),
    "mail to nobody": (
        a_job(task="email", kwargs={"to": [], "subject": "x"}),
        "/kwargs/to",
        "too_short",
    ),
    "empty name": (a_job(name=""), "/name", "invalid_name"),
    "name of 300 characters": (a_job(name="x" * 300), "/name", "invalid_name"),
    "name with a slash": (a_job(name="a/b"), "/name", "invalid_name"),
    "name in capitals": (a_job(name="Nightly"), "/name", "invalid_name"),
    "name with a line end": (a_job(name="nightly\n"), "/name", "invalid_name"),
    "unknown field": (a_job(shedule=None), "/shedule", "unknown_field"),
    "unknown field of the schedule": (
        scheduled(cron="* * * * *", timezon="UTC"),
        "/schedule/timezon",
        "unknown_field",
    ),
    "a field that only the server writes": (a_job(state="paused"), "/state", "read_only"),
    "false for a number": (a_job(priority=False), "/priority", "wrong_type"),
    "text for a number": (a_job(priority="5"), "/priority", "wrong_type"),
    "null for a number": (a_job(priority=None), "/priority", "wrong_type"),
    "a number beyond the column": (
        a_job(max_runs=2**31),
        "/max_runs",
        "too_large",
    ),
    "a policy that is none": (a_job(overlap_policy="queue"), "/overlap_policy", "not_a_choice"),
    "soft limit above the limit": (
        a_job(soft_time_limit_seconds=20, time_limit_seconds=10),
        "/soft_time_limit_seconds",
        "above_time_limit",
    ),
    "a concurrency key with a space": (
        a_job(concurrency_key="db main", concurrency_limit=1),
        "/concurrency_key",
        "invalid_key",
    ),
    "a limit without a key": (a_job(concurrency_limit=2), "/concurrency_limit", "without_key"),
    "a limit of no run at once": (
        a_job(concurrency_key="db-main", concurrency_limit=0),
        "/concurrency_limit",
        "too_small",
    ),
    "a retry policy with 0 attempts": (
        a_job(retry={"max_attempts": 0}),
        "/retry/max_attempts",
        "too_small",
    ),
    "U+0000 in the description": (a_job(description="a\0b"), "/description", "bad_text"),
    "U+0000 in an argument": (
        a_job(kwargs={"command": "true\0"}),
        "/kwargs/command",
        "bad_text",
    ),
    "U+0000 in an argument's name": (a_job(kwargs={"a\0": 1}), "/kwargs", "bad_text"),
    "U+0000 in a tag": (a_job(tags=["ok", "a\0"]), "/tags/1", "bad_text"),
    "half a surrogate pair": (a_job(description="\ud800"), "/description", "bad_text"),
    "arguments nested 100 deep": (
        a_job(kwargs={"command": _nested(100)}),
        "/kwargs/command" + "/0" * 30,
        "too_deep",
    ),
    "arguments too large": (a_job(kwargs={"command": "x" * 300_000}), "/kwargs", "too_large"),
}


@pytest.mark.parametrize("job, pointer, code", BAD_JOBS.values(), ids=BAD_JOBS)
def test_a_bad_job_is_refused_by_field_and_changes_nothing(
    api: Api, job: dict[str, Any], pointer: str, code: str | None
) -> None:
    before = api.facts()

    answer = api.post("/jobs", job)

    assert answer.status_code == 422
    assert answer.mimetype == "application/problem+json"
    errors = {error["pointer"]: error for error in answer.json["errors"]}
    assert pointer in errors
    assert code is None or errors[pointer]["code"] == code
    assert errors[pointer]["detail"].endswith((".", "?"))
    assert api.facts() == before


#: A patch need not name the task, the kind of the schedule or an argument; null is the default.
FINE_IN_A_PATCH = {"no task", "no schedule in it", "missing argument", "null for a number"}

BAD_CHANGES = {
    f"{method}: {what}": (method, job, pointer)
    for what, (job, pointer, _) in BAD_JOBS.items()
    for method in ("PUT", "PATCH")
    if method == "PUT" or what not in FINE_IN_A_PATCH
}


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    "method, job, pointer",
    [
        # A PUT is checked as a POST is, of which the test above tries all.
        pytest.param(*change, id=name, marks=[pytest.mark.nightly] if change[0] == "PUT" else [])
        for name, change in BAD_CHANGES.items()
    ],
)
def test_a_bad_change_is_refused_and_leaves_the_job_as_it_was(
    api: Api, method: str, job: dict[str, Any], pointer: str
) -> None:
    api.make_job("nightly")
    before = api.facts()

    answer = api.send(method, "/jobs/nightly", json=job, headers={"If-Match": '"1"'})

    assert answer.status_code == 422
    assert pointer in {error["pointer"] for error in answer.json["errors"]}
    assert api.facts() == before


def test_all_broken_fields_are_named_at_once(api: Api) -> None:
    answer = api.post("/jobs", a_job(name="A", task="shel", schedule={"cron": "61 * * * *"}))

    assert [e["pointer"] for e in answer.json["errors"]] == ["/name", "/task", CRON]


@pytest.mark.parametrize(
    "job, hint",
    [
        (a_job(task="shel"), "Did you mean 'shell'?"),
        (a_job(kwargs={"comand": "x"}), "Did you mean 'command'?"),
        (a_job(shedule=None), "Did you mean 'schedule'?"),
        (scheduled(cron="* * * * *", timezone="Europe/Pariss"), "did you mean Europe/Paris?"),
    ],
)
def test_a_near_miss_gets_a_hint(api: Api, job: dict[str, Any], hint: str) -> None:
    assert hint in api.post("/jobs", job).json["detail"]


def test_a_refusal_does_not_repeat_what_was_sent(api: Api) -> None:
    answer = api.post("/jobs", a_job(priority="hunter2", kwargs=["hunter2"]))

    assert answer.status_code == 422
    assert "hunter2" not in answer.text


def test_a_name_that_is_taken_is_a_conflict(api: Api) -> None:
    api.make_job("nightly")
    before = api.facts()

    answer = api.post("/jobs", a_job(name="nightly"))

    assert answer.status_code == 409
    assert answer.json["code"] == "name_taken"
    assert answer.json["errors"][0]["pointer"] == "/name"
    assert api.facts() == before


def test_a_job_cannot_be_renamed_to_a_name_that_is_taken(api: Api) -> None:
    api.make_job("nightly")
    api.make_job("weekly")

    answer = api.patch("/jobs/weekly", {"name": "nightly"})

    assert (answer.status_code, answer.json["code"]) == (409, "name_taken")
    assert api.get("/jobs/weekly").status_code == 200


BODIES = {
    "malformed": (b'{"name": ', "application/json", 400, "malformed_json"),
    "NaN": (b'{"priority": NaN}', "application/json", 400, "malformed_json"),
    "a name twice": (b'{"name": "a", "name": "b"}', "application/json", 400, "malformed_json"),
    "not UTF-8": (b'{"name": "\xff"}', "application/json", 400, "malformed_json"),
    "10,000 brackets": (b"[" * 10_000, "application/json", 400, "malformed_json"),
    "5,000 digits": (b'{"priority": ' + b"9" * 5000 + b"}", "application/json", 400, None),
    "1e999": (b'{"priority": 1e999}', "application/json", 422, "invalid_input"),
    "a list": (b"[1]", "application/json", 422, "invalid_input"),
    "text": (b'"{}"', "application/json", 422, "invalid_input"),
    "null": (b"null", "application/json", 422, "invalid_input"),
    "a form": (b"name=a", "application/x-www-form-urlencoded", 415, "unsupported_media_type"),
    "no content type": (b'{"name": "a"}', None, 415, "unsupported_media_type"),
    "nothing": (b"", "application/json", 422, "invalid_input"),
}


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("body, media_type, status, code", BODIES.values(), ids=BODIES)
def test_a_body_that_is_no_json_object_is_refused(
    api: Api, body: bytes, media_type: str | None, status: int, code: str | None
) -> None:
    before = api.facts()

    answer = api.send("POST", "/jobs", data=body, content_type=media_type)

    assert answer.status_code == status
    assert answer.mimetype == "application/problem+json"
    assert code is None or answer.json["code"] == code
    assert api.facts() == before


def test_a_body_of_50_megabytes_is_refused(api: Api) -> None:
    body = b'{"description": "' + b"x" * 50_000_000 + b'"}'

    answer = api.send("POST", "/jobs", data=body, content_type="application/json")

    assert (answer.status_code, answer.json["code"]) == (413, "body_too_large")
    assert "1,048,576 bytes" in answer.json["detail"]


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
def test_an_edit_without_if_match_is_refused_before_its_body_is_read(api: Api, method: str) -> None:
    api.make_job("nightly")

    answer = api.send(method, "/jobs/nightly", json={"time_limit_seconds": "long"})

    assert (answer.status_code, answer.json["code"]) == (428, "version_required")


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
def test_an_edit_without_if_match_is_refused(api: Api, method: str) -> None:
    api.make_job("nightly")
    before = api.facts()

    body = None if method == "DELETE" else a_job(description="changed")
    answer = api.send(method, "/jobs/nightly", json=body)

    assert (answer.status_code, answer.json["code"]) == (428, "version_required")
    assert api.facts() == before


@pytest.mark.parametrize("etag", ['"1"', '"7"', '"x"', "2", 'W/"2"', '"99999999999999999999"'])
@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
def test_an_edit_of_another_version_is_refused(api: Api, method: str, etag: str) -> None:
    api.make_job("nightly")
    api.patch("/jobs/nightly", {"description": "changed"})
    before = api.facts()

    body = None if method == "DELETE" else a_job()
    answer = api.send(method, "/jobs/nightly", json=body, headers={"If-Match": etag})

    assert (answer.status_code, answer.json["code"]) == (412, "stale_version")
    assert api.facts() == before


@pytest.mark.parametrize(
    "cursor", ["x", "", "%00", "é", "W10", "WyJydW5zIiwgImEiXQ", "WyJqb2JzIiwgIkEvQiJd", "=" * 9]
)
@pytest.mark.parametrize("path", ["/jobs", "/runs", "/audit"])
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_an_unknown_cursor_is_refused(api: Api, path: str, cursor: str) -> None:
    answer = api.get(path, query_string={"cursor": cursor})

    assert (answer.status_code, answer.json["code"]) == (400, "bad_cursor")


def test_a_cursor_of_another_list_is_refused(api: Api) -> None:
    for name in ("a", "b"):
        api.make_job(name)
    cursor = api.get("/jobs", query_string={"limit": 1}).json["next_cursor"]

    answer = api.get("/audit", query_string={"cursor": cursor})

    assert (answer.status_code, answer.json["code"]) == (400, "bad_cursor")


BAD_QUERIES = {
    "limit 0": ("/jobs?limit=0", "limit"),
    "limit 201": ("/runs?limit=201", "limit"),
    "limit of letters": ("/runs?limit=ten", "limit"),
    "unknown parameter": ("/runs?stat=failed", "stat"),
    "long value among several": (f"/runs?state=failed&state={'x' * 201}", "state"),
    "unknown state of a job": ("/jobs?state=queued", "state"),
    "unknown trigger": ("/runs?trigger=cron", "trigger"),
    "an instant without offset": ("/runs?from=2026-01-01T00:00:00", "from"),
    "an instant of year 0": ("/runs?to=0000-01-01T00:00:00Z", "to"),
    "dry_run of letters": ("/jobs/nightly/next?count=0", "count"),
    "U+0000 in a search": ("/jobs?q=%00", "q"),
    "U+0000 in a tag": ("/jobs?tag=a%00", "tag"),
    "U+0000 in a job's name": ("/runs?job=a%00", "job"),
}


@pytest.mark.parametrize("path, parameter", BAD_QUERIES.values(), ids=BAD_QUERIES)
def test_a_bad_parameter_is_refused_by_its_name(api: Api, path: str, parameter: str) -> None:
    api.make_job("nightly")

    answer = api.get(path)

    assert answer.status_code == 422
    assert [error["parameter"] for error in answer.json["errors"]] == [parameter]


def test_an_unknown_run_state_is_refused_with_a_hint(api: Api) -> None:
    answer = api.get("/runs?state=failed,succeded")

    assert answer.status_code == 422
    assert answer.json["errors"][0]["parameter"] == "state"
    assert "Did you mean 'succeeded'?" in answer.json["detail"]


@pytest.mark.parametrize(
    "path",
    ["/jobs/none", "/jobs/a%00b", "/jobs/%FF", "/jobs/" + "x" * 500, "/runs/none", "/runs/1%00"],
)
def test_what_does_not_exist_is_not_found(api: Api, path: str) -> None:
    answer = api.get(path)

    assert answer.status_code == 404
    assert answer.mimetype == "application/problem+json"


@pytest.mark.parametrize(
    "duration", [-1, 86_401, "10", True, None, 1e300], ids=lambda value: repr(value)
)
def test_a_bad_duration_of_the_tutorials_task_is_refused(api: Api, duration: Any) -> None:
    answer = api.post("//start-task", {"duration": duration})

    assert answer.status_code == 422
    assert answer.json["errors"][0]["pointer"] == "/duration"
    assert api.get("/runs").json["items"] == []


def test_a_bad_run_now_is_refused(api: Api) -> None:
    api.make_job("nightly")

    answer = api.post("/jobs/nightly/runs", {"kwargs": {"comand": "x"}})

    assert answer.json["errors"][0]["pointer"] == "/kwargs/comand"
    assert api.get("/runs").json["items"] == []


def test_a_bad_start_of_a_task_is_refused(api: Api) -> None:
    answer = api.post("/runs", {"task": "slep", "kwargs": {}, "queue": "a b"})

    assert [e["pointer"] for e in answer.json["errors"]] == ["/task", "/queue"]
