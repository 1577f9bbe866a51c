"""A body may have very many errors, or very long names: the answer stays short and soon there."""

import time
from typing import Any

import pytest

from tests.web.conftest import Api, a_job

LONG = "x" * 100_000
MANY = 10_000

#: Requests that have a body, each with a valid one.
REQUESTS = {
    "new job": ("POST", "/jobs", a_job()),
    "replaced job": ("PUT", "/jobs/nightly", a_job()),
    "changed job": ("PATCH", "/jobs/nightly", {}),
    "start": ("POST", "/jobs/nightly/runs", {}),
    "start of a task": ("POST", "/runs", {"task": "shell", "kwargs": {"command": "true"}}),
    "pause": ("POST", "/jobs/nightly/pause", {}),
    "resume": ("POST", "/jobs/nightly/resume", {}),
    "preview": ("POST", "/schedules/preview", {"cron": "* * * * *"}),
    "secret": ("PUT", "/secrets/key", {"value": "abcdef"}),
    "channel": ("POST", "/channels", {"name": "ops", "url": "json://example.org"}),
}

#: Additions to a valid body.
FAULTS: dict[str, dict[str, Any]] = {
    "unknown fields": {f"field{n}": 1 for n in range(MANY)},
    "a long name": {LONG: 1},
    "long names": {f"{n}{'/~' * 2_000}": 1 for n in range(100)},
    "texts that cannot be stored": {"x": ["\x00"] * MANY},
    "under a long name": {LONG: ["\x00"] * MANY},
    "under long names": {LONG: {LONG: {LONG: ["\ud800"] * MANY}}},
    "deep values": {"x": [[[[[[]]]]]] * 100, "y": [eval("[" * 40 + "]" * 40)] * 500},  # noqa: S307  # our own text
    "numbers": {"x": [10**30] * MANY},
}

#: The same in fields that a request has.
OWN_FAULTS: dict[str, tuple[str, dict[str, Any]]] = {
    "tags": ("new job", {"tags": ["No Tag"] * MANY}),
    "tags of another type": ("new job", {"tags": list(range(MANY))}),
    "long tags": ("new job", {"tags": [LONG] * 9}),
    "a long name of the job": ("new job", {"name": LONG}),
    "a long task": ("new job", {"task": LONG}),
    "a long queue": ("new job", {"queue": LONG}),
    "a long key": ("new job", {"concurrency_key": LONG}),
    "a long zone": ("new job", {"schedule": {"cron": "* * * * *", "timezone": LONG}}),
    "a long cron": ("new job", {"schedule": {"cron": LONG}}),
    "many cron parts": ("new job", {"schedule": {"cron": ",".join(["99"] * MANY) + " * * * *"}}),
    "a long instant": ("new job", {"schedule": {"at": LONG}}),
    "retry": ("new job", {"retry": {f"field{n}": 1 for n in range(MANY)}}),
    "retry on": ("new job", {"retry": {"max_attempts": 2, "on": ["x"] * MANY}}),
    "notify": ("new job", {"notify": [{"channel": 1}] * MANY}),
    "unknown channels": ("new job", {"notify": [{"channel": LONG, "on": ["failed"]}] * 3}),
    "arguments": ("new job", {"kwargs": {f"a{n}": 1 for n in range(MANY)}}),
    "environment": (
        "new job",
        {"kwargs": {"command": "a", "env": {f"={n}": 1 for n in range(MANY)}}},
    ),
    "headers": (
        "new job",
        {
            "task": "http",
            "kwargs": {"url": "http://x.org", "headers": {f" {n}": 1 for n in range(MANY)}},
        },
    ),
    "secret": ("secret", {"value": [LONG]}),
    "overlap": ("start", {"overlap_policy": LONG}),
    "mode": ("resume", {"on_missed": LONG}),
    "address": ("channel", {"url": LONG}),
    "webhook": ("channel", {"webhook": {"url": LONG, **{f"f{n}": 1 for n in range(MANY)}}}),
}


def check(answer: Any, seconds: float, name: object) -> None:
    assert answer.status_code in {400, 404, 422}, (name, answer.text[:300])
    assert len(answer.json.get("errors", [])) <= 20, name
    assert len(answer.data) < 60_000, name
    assert seconds < 2, name


def send(api: Api, request: str, fault: dict[str, Any]) -> tuple[Any, float, str]:
    """Return the answer to a valid body with *fault* in it, and the time of our process."""
    method, path, body = REQUESTS[request]
    began_at = time.process_time()
    answer = api.send(method, path, json=body | fault, headers={"If-Match": "*"})
    return answer, time.process_time() - began_at, request


@pytest.mark.few(1)
@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_no_body_gets_a_long_answer(api: Api, fault: dict[str, Any]) -> None:
    api.make_job()

    for request in ("new job", "changed job", "start", "pause", "preview", "secret", "channel"):
        check(*send(api, request, fault))


def test_no_field_gets_a_long_answer(api: Api) -> None:
    api.make_job()

    for name, (request, fault) in OWN_FAULTS.items():
        answer, seconds, _ = send(api, request, fault)
        check(answer, seconds, name)


def test_the_answer_says_how_many_errors_it_does_not_name(api: Api) -> None:
    unknown = api.post("/jobs", a_job() | {f"field{n}": 1 for n in range(MANY)})
    one_more = api.post("/jobs", a_job() | {f"field{n}": 1 for n in range(21)})
    texts = api.post("/jobs", a_job(description=["\x00"] * MANY))
    no_more = api.post("/jobs", a_job() | {f"field{n}": 1 for n in range(20)})

    assert unknown.json["detail"].endswith("There are 9,980 more errors.")
    assert one_more.json["detail"].endswith("There is 1 more error.")
    assert texts.json["detail"].endswith("There are 9,980 more errors.")
    assert "more" not in no_more.json["detail"]


def test_no_address_gets_a_long_answer(api: Api) -> None:
    query = "&".join(f"field{n}=1" for n in range(1_000))
    for path in (f"/jobs?{query}", f"/jobs?{LONG[:9_000]}=1", f"/jobs/{LONG[:9_000]}"):
        began_at = time.process_time()
        check(api.get(path), time.process_time() - began_at, path[:20])
