"""Notifications end to end: from a finished run through the sender process to a server."""

import hashlib
import hmac
import json
import os
import signal
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, Envelope

from jobs_app.core.run_error import RunError
from jobs_app.core.settings import Settings
from jobs_app.core.states import Event, NotificationState, RunState
from jobs_app.db.engine import Database
from jobs_app.db.models.notifications import Notification
from jobs_app.db.models.runs import LogChunk
from jobs_app.notifications.channel_input import Webhook
from jobs_app.notifications.sender import MessageSender, Sender
from jobs_app.notifications.sender_process import SenderProcess, SendRequest
from jobs_app.up.valkey import free_port
from tests.factories import MINUTE, NOON, SECOND, make_job, make_run, make_worker
from tests.notification_checks import KEY, finish_run, make_channel, rows
from tests.notifications.webhook_server import WebhookServer, webhook_server
from tests.servers import wait_until

SECRET = "sixteen letters at least"
CANARY = "canary-4b1d"
FAILED = RunState.FAILED
pytestmark = [
    pytest.mark.parametrize("database_url", ["sqlite"], indirect=True),
    # The mail server of the tests; it speaks to this machine only.
    pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS:UserWarning"),
]


@pytest.fixture
def recorder() -> Iterator[WebhookServer]:
    with webhook_server() as server:
        yield server


@pytest.fixture
def settings(database_url: str, tmp_path: Path) -> Settings:
    return Settings(
        data_dir=tmp_path,
        database_url=database_url,
        secret_key=KEY,
        allow_private_addresses=True,
        public_url="https://jobs.example.org/",
    )


class Clock:
    """An instant that a test moves on."""

    def __init__(self) -> None:
        self.now = NOON + 10 * SECOND

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def ticking() -> Clock:
    return Clock()


@pytest.fixture
def sender(database: Database, settings: Settings, ticking: Clock) -> Sender:
    return Sender(database, settings, now=ticking)


def send(sender: Sender) -> None:
    """Send everything that is due, and wait for it."""
    for thread in sender.serve_due_channels():
        thread.join(60)


def hook(recorder: WebhookServer, path: str = "/hook") -> Webhook:
    return Webhook(recorder.url + path, SECRET)


def is_genuine(headers: dict[str, str], body: bytes, secret: str) -> bool:
    """Check a signature as docs/notifications.md shows."""
    parts = dict(part.split("=", 1) for part in headers["Jobs-Signature"].split(","))
    signed = f"{parts['t']}.".encode() + body
    expected = hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()
    return hmac.compare_digest(expected, parts["v1"]) and abs(time.time() - int(parts["t"])) < 300


def fail_a_run(database: Database, name: str = "nightly", **outcome: Any) -> UUID:
    """Let a run of a new job fail, and return the id of the run."""
    job = make_job(database, name=name, timezone="Europe/Paris", cron="0 * * * *")
    run_id: UUID = finish_run(database, job, make_worker(database), FAILED, **outcome)
    return run_id


def test_a_webhook_gets_a_signed_document_of_the_failure(
    database: Database, sender: Sender, recorder: WebhookServer
) -> None:
    make_channel(database, webhook=hook(recorder))
    run_id = fail_a_run(database, exit_code=2)
    with database.session() as session:
        text = "".join(f"line {n}\n" for n in range(30))
        session.add(LogChunk(run_id=run_id, attempt=1, seq=0, stream="stdout", at=NOON, text=text))
        session.commit()

    send(sender)

    (got,) = recorder.received
    (row,) = rows(database)
    assert (row.state, row.tries, row.sent_at) == (NotificationState.SENT, 1, NOON + 10 * SECOND)
    assert is_genuine(got.headers, got.body, SECRET)
    assert not is_genuine(got.headers, got.body + b" ", SECRET)
    assert not is_genuine(got.headers, got.body, "another secret of 16")
    assert got.headers["Jobs-Event"] == "failed"
    assert got.headers["Jobs-Delivery"] == str(row.id)
    document = json.loads(got.body)
    assert document["title"] == "nightly failed (exit code 2)"
    assert document["run"]["id"] == str(run_id)
    assert document["run"]["error"] == {"type": "Broken", "message": "it broke"}
    assert document["run"]["log_tail"].splitlines() == [f"line {n}" for n in range(10, 30)]
    assert document["failures_in_a_row"] == 1
    assert f"https://jobs.example.org/runs/{run_id}" in document["text"]


def test_a_channel_that_wants_output_gets_every_line_of_a_slow_job(
    database: Database, sender: Sender, recorder: WebhookServer
) -> None:
    make_channel(database, webhook=hook(recorder), events=(Event.OUTPUT,))
    run_id = fail_a_run(database, log_bytes=9)
    with database.session() as session:
        session.add_all(
            LogChunk(run_id=run_id, attempt=1, seq=n, stream="stdout", at=NOON, text=f"line {n}\n")
            for n in range(300)
        )
        session.commit()

    send(sender)

    (got,) = recorder.received
    assert got.headers["Jobs-Event"] == "output"
    log = json.loads(got.body)["run"]["log_tail"]
    assert log.splitlines() == [f"line {n}" for n in range(300)]


def test_a_message_is_sent_again_under_the_same_id_after_errors(
    database: Database, sender: Sender, recorder: WebhookServer, ticking: Clock
) -> None:
    make_channel(database, webhook=hook(recorder))
    fail_a_run(database)
    recorder.statuses = [500, 302, 200]
    recorder.location = recorder.url + "/elsewhere"

    for _ in range(3):
        send(sender)
        ticking.now += MINUTE

    assert {got.headers["Jobs-Delivery"] for got in recorder.received} == {
        str(rows(database)[0].id)
    }
    assert [got.path for got in recorder.received] == ["/hook"] * 3
    assert [got.body for got in recorder.received] == [recorder.received[0].body] * 3
    (row,) = rows(database)
    assert (row.state, row.tries, row.error) == (NotificationState.SENT, 3, None)


@pytest.mark.parametrize(
    "status, error",
    [(500, "It answered 500."), (302, "It answered 302: redirects are not followed.")],
)
def test_the_error_of_a_failed_try_is_kept(
    database: Database, sender: Sender, recorder: WebhookServer, status: int, error: str
) -> None:
    # Words of our sentences in the address: they are no quotation of it.
    url = f"{recorder.url}/answered/redirects?followed={status}"
    make_channel(database, webhook=Webhook(url, "s" * 16))
    fail_a_run(database)
    recorder.statuses = [status]

    send(sender)

    (row,) = rows(database)
    assert (row.state, row.tries, row.error) == (NotificationState.PENDING, 1, error)
    assert row.due_at == NOON + 25 * SECOND


@pytest.mark.parametrize("kind", ["webhook", "json"])
def test_private_addresses_are_refused_unless_they_are_allowed(
    database: Database, settings: Settings, recorder: WebhookServer, ticking: Clock, kind: str
) -> None:
    if kind == "webhook":
        make_channel(database, webhook=hook(recorder))
    else:
        make_channel(database, url=recorder.url.replace("http", "json"))
    fail_a_run(database)
    strict = settings.model_copy(update={"allow_private_addresses": False})

    send(Sender(database, strict, now=ticking))

    assert recorder.received == []
    (row,) = rows(database)
    assert "JOBS_ALLOW_PRIVATE_ADDRESSES" in (row.error or "")


def test_apprise_sends_the_message_to_its_service(
    database: Database, sender: Sender, recorder: WebhookServer
) -> None:
    make_channel(database, url=recorder.url.replace("http", "json"))
    fail_a_run(database)

    send(sender)

    (got,) = recorder.received
    document = json.loads(got.body)
    assert document["title"] == "nightly failed"
    assert "Broken: it broke" in document["message"]
    assert document["type"] == "failure"


class Mailbox:
    """A mail server's handler that keeps what it gets."""

    def __init__(self) -> None:
        self.mails: list[EmailMessage] = []
        self.passwords: list[bytes] = []

    async def handle_DATA(  # noqa: N802 (the name that aiosmtpd calls)
        self, _server: Any, _session: Any, envelope: Envelope
    ) -> str:
        content = envelope.content
        assert isinstance(content, bytes)
        mail = message_from_bytes(content, policy=policy.default)
        assert isinstance(mail, EmailMessage)
        self.mails.append(mail)
        return "250 OK"

    def authenticate(self, _s: Any, _session: Any, _e: Any, _kind: str, data: Any) -> AuthResult:
        self.passwords.append(data.password)
        is_right = data.password == CANARY.encode()
        # With handled=True aiosmtpd sends no answer, and the client would wait for one.
        return AuthResult(success=is_right, handled=False)


@pytest.fixture
def mailbox() -> Iterator[tuple[Mailbox, int]]:
    """A real mail server that requires a password."""
    server, port = Mailbox(), free_port()
    controller = Controller(
        server,
        hostname="127.0.0.1",
        port=port,
        authenticator=server.authenticate,
        auth_required=True,
        auth_require_tls=False,
    )
    controller.start()
    yield server, port
    controller.stop()


def mail_url(port: int, password: str = CANARY) -> str:
    return f"mailto://jobs:{password}@127.0.0.1:{port}?from=jobs@example.org&to=ops@example.org"


def test_a_mail_says_what_a_colleague_needs_to_know(
    database: Database, sender: Sender, mailbox: tuple[Mailbox, int]
) -> None:
    server, port = mailbox
    make_channel(database, url=mail_url(port))
    run_id = fail_a_run(database, exit_code=3)

    send(sender)

    (row,) = rows(database)
    assert (row.state, row.error) == (NotificationState.SENT, None)
    (mail,) = server.mails
    assert mail["Subject"] == "nightly failed (exit code 3)"
    assert "ops@example.org" in str(mail["To"])
    body = mail.get_body(("plain", "html"))
    assert body is not None
    text = body.get_content()
    for needed in (
        "Started by hand: 2026-06-15 14:00:00 Europe/Paris",
        "Broken: it broke",
        str(run_id),
    ):
        assert needed in text
    assert server.passwords == [CANARY.encode()]


def test_a_password_is_in_no_error_no_log_and_no_row(
    database: Database,
    sender: Sender,
    mailbox: tuple[Mailbox, int],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("DEBUG")
    _, port = mailbox
    make_channel(database, "mail", url=mail_url(port, password=f"wrong-{CANARY}"))
    make_channel(
        database, "json", url=f"json://jobs:{CANARY}@127.0.0.1:{free_port()}/{CANARY}?x={CANARY}"
    )
    make_channel(database, "hook", webhook=Webhook(f"http://{CANARY}.invalid/{CANARY}", CANARY * 2))
    fail_a_run(database)

    send(sender)

    notifications = rows(database)
    assert [row.tries for row in notifications] == [1, 1, 1]
    assert all(row.error for row in notifications)
    assert not [row.error for row in notifications if CANARY in (row.error or "")]
    assert CANARY not in caplog.text


def test_a_scheduler_without_the_key_says_so(
    database: Database, settings: Settings, recorder: WebhookServer, ticking: Clock
) -> None:
    make_channel(database, webhook=hook(recorder))
    fail_a_run(database)
    keyless = settings.model_copy(update={"secret_key": None})

    send(Sender(database, keyless, now=ticking))

    (row,) = rows(database)
    assert "JOBS_SECRET_KEY" in (row.error or "")


def test_a_service_that_hangs_times_out(recorder: WebhookServer, settings: Settings) -> None:
    recorder.is_holding = True
    process = SenderProcess(settings)
    target = {"url": recorder.url.replace("http", "json")}
    request = SendRequest("id", "failed", target, "failure", "title", "text", {}, seconds=1.0)

    started = time.monotonic()
    error = process.send(request)
    took = time.monotonic() - started
    process.close()

    assert error is not None
    assert took < 30


def test_a_sender_process_is_started_again_after_it_was_killed(
    recorder: WebhookServer, settings: Settings
) -> None:
    process = SenderProcess(settings)
    target = {"webhook": {"url": recorder.url, "secret": SECRET}}
    request = SendRequest("id", "test", target, "info", "title", "text", {"n": 1})
    assert process.send(request) is None
    child = process._process
    assert child is not None
    os.kill(child.pid, signal.SIGKILL)
    child.wait()

    assert process.send(request) == "The sender process has died."
    assert process.send(request) is None
    process.close()


class DeadSender:
    """Sends a message, and dies before the outcome is recorded."""

    def __init__(self, settings: Settings) -> None:
        self._process = SenderProcess(settings)

    def send(self, request: SendRequest) -> str | None:
        self._process.send(request)
        raise OSError("the sender died")

    def interrupt(self) -> None:
        self._process.interrupt()

    def close(self) -> None:
        self._process.close()


def test_a_sender_that_dies_before_it_notes_the_outcome_sends_again_under_the_same_id(
    database: Database, settings: Settings, recorder: WebhookServer, ticking: Clock
) -> None:
    make_channel(database, webhook=hook(recorder))
    fail_a_run(database)
    send(Sender(database, settings, now=ticking, make_process=DeadSender))
    assert rows(database)[0].state is NotificationState.PENDING

    ticking.now += MINUTE
    send(Sender(database, settings, now=ticking))

    ids = [got.headers["Jobs-Delivery"] for got in recorder.received]
    assert ids == [str(rows(database)[0].id)] * 2
    assert rows(database)[0].state is NotificationState.SENT


class FakeSenderProcess:
    """Keeps the messages instead of sending them."""

    requests: list[SendRequest]

    def __init__(self) -> None:
        self.requests = []
        self.error: str | None = None

    def __call__(self, _settings: Settings) -> MessageSender:
        return self

    def send(self, request: SendRequest) -> str | None:
        self.requests.append(request)
        return self.error

    def interrupt(self) -> None:
        """Nothing is under way."""

    def close(self) -> None:
        """Nothing is open."""


def test_many_equal_failures_are_one_message_that_counts_them(
    database: Database, settings: Settings, ticking: Clock
) -> None:
    make_channel(database)
    job, worker, process = (
        make_job(database, name="nightly"),
        make_worker(database),
        FakeSenderProcess(),
    )
    for n in range(38):
        error = RunError("Broken", f"timeout after {n} s")
        finish_run(database, job, worker, FAILED, at=NOON + n * SECOND / 10, error=error)

    send(Sender(database, settings, now=ticking, make_process=process))

    (request,) = process.requests
    assert request.title == "nightly failed, 38 times"
    assert "And 37 more like this, the last at 2026-06-15 12:00:03 UTC." in request.text
    assert request.document["count"] == 38


def test_the_last_message_of_a_minute_names_the_notifications_in_it(
    database: Database, settings: Settings, ticking: Clock
) -> None:
    make_channel(database)
    worker, process = make_worker(database), FakeSenderProcess()
    for name in ("a", "b", "c"):
        finish_run(database, make_job(database, name=name), worker, FAILED)
    slow = settings.model_copy(update={"notify_per_minute": 1})

    send(Sender(database, slow, now=ticking, make_process=process))

    (request,) = process.requests
    assert request.title == "a failed, and 2 more notifications"
    assert request.document["others"] == [
        {"job": "b", "event": "failed", "count": 1},
        {"job": "c", "event": "failed", "count": 1},
    ]
    assert "- b: failed" in request.text


def test_a_message_says_that_the_job_has_succeeded_since(
    database: Database, settings: Settings, ticking: Clock
) -> None:
    make_channel(database)
    job, worker, process = make_job(database), make_worker(database), FakeSenderProcess()
    finish_run(database, job, worker, FAILED)
    finish_run(database, job, worker, RunState.SUCCEEDED, at=NOON + SECOND)

    send(Sender(database, settings, now=ticking, make_process=process))

    assert [request.event for request in process.requests] == ["failed", "recovered"]
    assert "It has succeeded since." in process.requests[0].text
    assert "It had failed once, for 1 s." in process.requests[1].text


def test_the_first_sender_that_looks_notifies_of_a_late_run(
    database: Database, settings: Settings, ticking: Clock
) -> None:
    make_channel(database)
    make_run(database, make_job(database, name="nightly"), at=NOON)
    process = FakeSenderProcess()
    senders = [Sender(database, settings, now=ticking, make_process=process) for _ in range(2)]
    assert [sender.notify_late() for sender in senders] == [0, 0]

    ticking.now = NOON + 5 * MINUTE
    assert [sender.notify_late() for sender in senders] == [1, 0]
    ticking.now += 5 * SECOND
    send(senders[1])

    (request,) = process.requests
    assert request.title == "nightly is late"
    assert "It has not started 1 min after it should have." in request.text


@pytest.mark.parametrize("started_after, is_sent", [(599, False), (601, True)])
def test_a_run_that_started_within_late_after_seconds_is_not_late(
    database: Database, settings: Settings, ticking: Clock, started_after: int, is_sent: bool
) -> None:
    channel_id, process = make_channel(database), FakeSenderProcess()
    job, worker = make_job(database), make_worker(database)
    run_id = finish_run(database, job, worker, RunState.SUCCEEDED)
    with database.session() as session:
        session.query(Notification).delete()
        session.connection().exec_driver_sql(
            "UPDATE runs SET started_at = ?",
            ((NOON + timedelta(seconds=started_after)).strftime("%Y-%m-%d %H:%M:%S.%f"),),
        )
        session.add(
            Notification(
                channel_id=channel_id,
                channel="ops",
                job_id=job.id,
                run_id=run_id,
                event="late",
                group_key="late",
                detail={"after_seconds": 600, "state": "queued"},
                due_at=NOON,
                created_at=NOON,
            )
        )
        session.commit()

    send(Sender(database, settings, now=ticking, make_process=process))

    assert len(process.requests) == is_sent
    assert rows(database)[0].state is (
        NotificationState.SENT if is_sent else NotificationState.SUPPRESSED
    )


def test_a_notification_of_a_deleted_channel_is_not_sent(
    database: Database, settings: Settings, ticking: Clock
) -> None:
    make_channel(database)
    fail_a_run(database)
    with database.session() as session:
        session.connection().exec_driver_sql("DELETE FROM notification_channels")
        session.commit()

    send(Sender(database, settings, now=ticking, make_process=FakeSenderProcess()))

    (row,) = rows(database)
    assert (row.state, row.error) == (NotificationState.SUPPRESSED, "The channel was deleted.")


def test_a_channel_that_hangs_does_not_block_the_others(
    database: Database, settings: Settings, recorder: WebhookServer, ticking: Clock
) -> None:
    with webhook_server() as hanging:
        hanging.is_holding = True
        make_channel(database, "hangs", webhook=hook(hanging))
        make_channel(database, "works", webhook=hook(recorder))
        fail_a_run(database)
        sender = Sender(database, settings, now=ticking)

        threads = sender.serve_due_channels()
        wait_until(
            lambda: recorder.received, "the other channel got its message", timeout_seconds=30
        )
        wait_until(lambda: hanging.received, "the first one hangs", timeout_seconds=30)

        assert any(thread.is_alive() for thread in threads)
        assert [row.channel for row in rows(database) if row.state is NotificationState.SENT] in (
            ["works"],
            [],
        )
        sender.stop()
        for thread in threads:
            thread.join(5)
            assert not thread.is_alive(), "it still waits for the answer"

    # A message that was stopped in the middle is no failure: it is sent again.
    by_channel = {row.channel: row for row in rows(database)}
    assert by_channel["hangs"].state is NotificationState.PENDING
    assert by_channel["hangs"].error is None
