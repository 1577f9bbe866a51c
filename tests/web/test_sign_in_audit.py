"""Failed sign-ins are in the audit, bounded in number, and without what was typed."""

from typing import Any

import pytest
from flask import Flask

from jobs_app.web.sign_in_audit import FailedSignIn, Reason, SignInAudit
from tests.web.conftest import Api

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


def failure(name: str, account: str | None = None) -> FailedSignIn:
    return FailedSignIn.of(name, account, "192.0.2.7", Reason.WRONG)


def test_each_kind_is_written_once_and_then_as_a_number(
    app: Flask, api: Api, caplog: pytest.LogCaptureFixture
) -> None:
    now = 0.0
    failed = SignInAudit(monotonic=lambda: now)
    with app.app_context(), app.test_request_context():
        for _ in range(3):
            failed.note(failure("ann", "ann"))
            failed.note(failure("my password"))
        for number in range(50):
            failed.note(failure(f"guess{number}"))
        now = 61.0
        failed.report()

    events: list[Any] = api.get("/audit").json["items"]
    assert len(events) == 10 + 2 + 1
    assert {event["action"] for event in events} == {"sign_in_failed"}
    again = [event["detail"]["again"] for event in events if "again" in event["detail"]]
    assert sorted(again) == [2, 2, 42]
    named = {event["detail"]["person"] for event in events}
    assert named == {"ann", None}
    assert "my password" not in str(events) + caplog.text
    assert "guess" not in str(events) + caplog.text


def test_a_known_and_an_unknown_name_write_as_much(app: Flask, api: Api) -> None:
    failed = SignInAudit()
    with app.app_context(), app.test_request_context():
        for name, account in (("ann", "ann"), ("nobody", None)):
            for _ in range(2):
                failed.note(failure(name, account))

    assert len(api.get("/audit").json["items"]) == 2
