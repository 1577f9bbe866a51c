"""A locked database keeps no answer waiting that only adds to the audit."""

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import make_url

from jobs_app.accounts.audit import Origin
from jobs_app.core.settings import Settings
from jobs_app.web import audit_notes
from jobs_app.web.audit_notes import MAX_KEPT, RETRY_SECONDS, AuditNote, AuditNotes
from jobs_app.web.session import NOTE_SECONDS, VISITOR_SECONDS
from jobs_app.web.sign_in_audit import FailedSignIn, Reason, SignInAudit
from tests.servers import crowding
from tests.web.conftest import NOW, Api

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@contextmanager
def locked(settings: Settings) -> Iterator[None]:
    """Hold the write lock of the database during the block, as another process may."""
    file = make_url(settings.effective_database_url).database
    assert file is not None
    with closing(sqlite3.connect(file, isolation_level=None)) as holder:
        holder.execute("BEGIN IMMEDIATE")
        yield


def events(api: Api) -> list[dict[str, Any]]:
    """Return the audit, the oldest first."""
    return list(reversed(api.get("/audit?limit=200").json["items"]))


def test_a_refusal_is_answered_at_once_and_is_in_the_audit_later(
    api: Api, api_of: Callable[..., Api], settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    viewer = api_of("viewer", name="ann")
    viewer.get("/me")
    monkeypatch.setattr(audit_notes, "RETRY_SECONDS", 0)

    with locked(settings):
        began = time.monotonic()
        answers = [viewer.delete(f"/jobs/job{number}") for number in range(2)]
        seconds = time.monotonic() - began

    assert [answer.status_code for answer in answers] == [403, 403]
    assert seconds < 3 * NOTE_SECONDS * crowding() + 0.5
    refused = [event for event in events(api) if event["action"] == "refused"]
    # Which request it was, and not the one that wrote it.
    sent = [answer.headers["X-Request-Id"] for answer in answers]
    assert [event["request_id"] for event in refused] == sent
    assert {event["actor"] for event in refused} == {"ann"}


def test_a_failed_sign_in_is_noted_without_waiting(
    app: Flask, api: Api, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit_notes, "RETRY_SECONDS", 0)
    failures = SignInAudit()
    with app.test_request_context():
        with locked(settings):
            began = time.monotonic()
            failures.note(FailedSignIn.of("ann", None, "192.0.2.7", Reason.WRONG))
            seconds = time.monotonic() - began
        failures.report()

    assert seconds < NOTE_SECONDS * crowding() + 0.5
    assert [event["action"] for event in events(api)] == ["sign_in_failed"]


def test_events_beyond_a_number_are_dropped_with_a_line_in_the_log(
    app: Flask, api: Api, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    now = [1000.0]
    notes = AuditNotes(monotonic=lambda: now[0])
    with app.test_request_context():
        with locked(settings):
            for number in range(MAX_KEPT + 3):
                notes.write([AuditNote(Origin(None, None), "refused", f"n{number}", NOW, {})])
        now[0] += RETRY_SECONDS
        notes.write()

    assert len(events(api)) == MAX_KEPT
    dropped = [line for line in caplog.messages if line.startswith("audit_notes_dropped")]
    assert [line.split()[2] for line in dropped] == ["by='n200'", "by='n201'", "by='n202'"]


def test_a_sign_in_that_cannot_be_counted_is_not_tried_and_holds_no_thread_for_long(
    app: Flask, settings: Settings
) -> None:
    client = app.test_client()
    form = client.get("/sign-in", headers={"Accept": "text/html"}).text
    token = form.rpartition('name="csrf_token" value="')[2].partition('"')[0]
    sent = {"csrf_token": token, "name": "ann", "password": "tortoise lamp"}

    with locked(settings):
        began = time.monotonic()
        answer = client.post("/sign-in", data=sent, headers={"Sec-Fetch-Site": "same-origin"})
        seconds = time.monotonic() - began

    assert answer.status_code == 503
    assert "The name or the password is wrong" not in answer.text
    assert VISITOR_SECONDS <= seconds < 2 * VISITOR_SECONDS * crowding()
