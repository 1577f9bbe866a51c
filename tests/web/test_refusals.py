"""Refusals are in the audit, and their number is bounded."""

from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask, g

from jobs_app.accounts.audit import Origin
from jobs_app.accounts.principal import Principal
from jobs_app.core.roles import Role
from jobs_app.web import refusals as refusals_module
from jobs_app.web.refusals import RefusalAudit
from jobs_app.web.repeat_count import MAX_NAMED, WINDOW_SECONDS, RepeatCount
from tests.web.conftest import Api

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


def refusals(api: Api) -> list[dict[str, Any]]:
    """Return the refusals in the audit, the oldest first."""
    events = api.get("/audit?limit=200").json["items"]
    return [event for event in reversed(events) if event["action"] == "refused"]


def test_a_refusal_is_in_the_audit_with_its_request(api: Api, api_of: Callable[..., Api]) -> None:
    answer = api_of("viewer", name="ann").post("/jobs", {})

    (refusal,) = refusals(api)
    assert (refusal["actor"], refusal["via"]) == ("ann", "api")
    assert refusal["detail"] == {"wanted": "change jobs", "request": "POST /api/v1/jobs"}
    assert refusal["request_id"] == answer.headers["X-Request-Id"]
    assert refusal["remote_address"] == "127.0.0.1"
    assert refusal["person_id"] is not None


def test_equal_refusals_are_one_event_and_many_different_ones_are_few(
    api: Api, api_of: Callable[..., Api]
) -> None:
    viewer = api_of("viewer")

    for _ in range(20):
        viewer.post("/jobs", {})
    for number in range(30):
        viewer.delete(f"/jobs/job{number}")

    assert len(refusals(api)) == MAX_NAMED


def test_refusals_of_one_account_hide_none_of_another(
    api: Api, api_of: Callable[..., Api], monkeypatch: pytest.MonkeyPatch
) -> None:
    noisy, quiet = api_of("viewer", name="ann"), api_of("viewer", name="bob")
    now = [1000.0]
    monkeypatch.setattr(RepeatCount.__init__, "__kwdefaults__", {"monotonic": lambda: now[0]})

    for number in range(MAX_NAMED + 5):
        noisy.delete(f"/jobs/job{number}")
    quiet.post("/jobs", {})
    now[0] += WINDOW_SECONDS
    quiet.get("/me")

    of_quiet = [event["detail"] for event in refusals(api) if event["actor"] == "bob"]
    assert of_quiet == [{"wanted": "change jobs", "request": "POST /api/v1/jobs"}]
    last = refusals(api)[-1]
    assert (last["actor"], last["detail"]["again"]) == ("ann", 5)
    assert last["person_id"] is not None


def test_accounts_are_forgotten_when_their_window_ends_or_there_are_too_many(
    api_of: Callable[..., Api], app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [1000.0]
    monkeypatch.setattr(RepeatCount.__init__, "__kwdefaults__", {"monotonic": lambda: now[0]})
    audit = RefusalAudit()
    principals = [
        Principal(f"token:{number}", f"n{number}", f"n{number}", Role.VIEWER, person_id=number)
        for number in range(5)
    ]
    monkeypatch.setattr(refusals_module, "MAX_ACCOUNTS", 3)
    with app.test_request_context():
        g.audit_origin = Origin(None, None, None)
        for principal in principals:
            audit.note(principal, "change jobs")
        assert audit.account_count <= 4
        now[0] += WINDOW_SECONDS
        audit.report()

    assert audit.account_count == 0


def test_what_a_limited_caller_asks_for_in_vain_is_in_the_audit(
    api: Api, api_of: Callable[..., Api]
) -> None:
    api.make_job("theirs", tags=["ops"])

    api_of("editor", tags=("billing",)).get("/jobs/theirs")
    api_of("editor").get("/jobs/nothing")

    (refusal,) = refusals(api)
    assert refusal["detail"]["request"] == "GET /api/v1/jobs/theirs"
