"""The task `email` hands one mail to a real server, and says what became of it."""

import asyncio
import email as email_module
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from email import policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from jobs_app.core.states import CancelMode
from jobs_app.tasks import registry
from jobs_app.tasks.builtin.email import EmailResult, address_of, email
from jobs_app.tasks.context import (
    Cancelled,
    EmailFailed,
    LastLog,
    RunContext,
    TimedOut,
    current_run,
)
from tests.factories import TASKS
from tests.running import Output, a_run

CERTIFICATE = Path(__file__).with_name("localhost.pem")
RUN_ID = UUID("019a0000-0000-7000-8000-000000000001")


class Inbox:
    """Keeps the mail that it gets; refuses recipients whose name begins with `no`."""

    def __init__(self) -> None:
        self.mails: list[EmailMessage] = []
        self.envelopes: list[Envelope] = []
        self.sessions: list[Session] = []

    # The library calls it by this name.
    async def handle_RCPT(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if address.startswith("no"):
            return "550 5.1.1 No such person here"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    # The library calls it by this name.
    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        content = envelope.original_content
        assert content is not None
        message = email_module.message_from_bytes(content, policy=policy.SMTP)
        assert isinstance(message, EmailMessage)
        if message["Subject"] == "spam":
            return "554 5.7.1 We take no spam"
        self.mails.append(message)
        self.envelopes.append(envelope)
        self.sessions.append(session)
        return "250 OK"


class Server(Controller):
    """A mail server on 127.0.0.1, at a port of its own."""

    def __init__(self, inbox: Inbox, *, implicit_tls: bool = False, **options: Any) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
        context = tls() if implicit_tls else None
        super().__init__(inbox, hostname="127.0.0.1", port=port, ssl_context=context, **options)

    def _trigger_server(self) -> None:
        # The first look at itself, by which it knows that it serves: it trusts nobody else.
        with socket.create_connection(("127.0.0.1", self.port), 5) as raw:
            if self.ssl_context is None:
                raw.recv(1024)
                return
            client = ssl.create_default_context(cafile=CERTIFICATE)
            with client.wrap_socket(raw, server_hostname="localhost") as wrapped:
                wrapped.recv(1024)


def tls() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE)
    return context


def signs_in(
    server: SMTP, session: Session, envelope: Envelope, mechanism: str, credentials: object
) -> AuthResult:
    assert isinstance(credentials, LoginPassword)
    is_right = (credentials.login, credentials.password) == (b"me@example.com", b"p@ss/word")
    return AuthResult(success=is_right, handled=False)


@pytest.fixture
def inbox() -> Inbox:
    return Inbox()


@pytest.fixture
def plain_server(inbox: Inbox, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A server that takes mail from everybody, which the settings name."""
    server = Server(inbox)
    server.start()
    monkeypatch.setenv("JOBS_SMTP_URL", f"smtp://127.0.0.1:{server.port}")
    monkeypatch.setenv("JOBS_SMTP_FROM", "Jobs <jobs@example.com>")
    yield server
    server.stop()


@pytest.fixture
def strict_server(inbox: Inbox, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A server that requires STARTTLS and a login."""
    server = Server(
        inbox,
        tls_context=tls(),
        require_starttls=True,
        auth_required=True,
        authenticator=signs_in,
    )
    server.start()
    monkeypatch.setenv("JOBS_SMTP_FROM", "jobs@example.com")
    yield server
    server.stop()


def send(context: RunContext | None = None, **kwargs: Any) -> EmailResult:
    token = current_run.set(context or a_run(run_id=RUN_ID))
    try:
        return email.run(**({"to": "you@example.com", "subject": "Hello"} | kwargs))
    finally:
        current_run.reset(token)


def text_of(message: EmailMessage, kind: str = "plain") -> str:
    part = message.get_body((kind,))
    assert part is not None
    content: str = part.get_content()
    return content.replace("\r\n", "\n")


def test_a_mail_arrives_with_its_subject_body_and_recipients(
    inbox: Inbox, plain_server: Server
) -> None:
    output = Output()

    result = send(
        a_run(output, run_id=RUN_ID),
        to=["You <you@example.com>", "two@example.com"],
        cc="copy@example.com",
        bcc=["hidden@example.com"],
        subject="Grüße, und €",
        body="Größe: 5\n.\nEnd",
        html="<b>Größe</b>",
        reply_to="answers@example.com",
    )

    (mail,), (envelope,) = inbox.mails, inbox.envelopes
    everybody = ["you@example.com", "two@example.com", "copy@example.com", "hidden@example.com"]
    assert envelope.mail_from == "jobs@example.com"
    assert envelope.rcpt_tos == everybody
    assert mail["From"] == "Jobs <jobs@example.com>"
    assert mail["To"] == "You <you@example.com>, two@example.com"
    assert mail["Cc"] == "copy@example.com"
    assert mail["Reply-To"] == "answers@example.com"
    assert mail["Subject"] == "Grüße, und €"
    assert mail["Bcc"] is None
    assert "hidden" not in mail.as_string()
    assert text_of(mail) == "Größe: 5\n.\nEnd\n"
    assert "<b>Größe</b>" in text_of(mail, "html")
    assert (datetime.now(UTC) - mail["Date"].datetime).total_seconds() < 60
    assert result["recipients"] == everybody
    assert "two@example.com: accepted by 127.0.0.1" in output.out


def test_every_attempt_of_a_run_has_the_same_message_id(inbox: Inbox, plain_server: Server) -> None:
    first = send(a_run(run_id=RUN_ID, attempt=1))
    send(a_run(run_id=RUN_ID, attempt=2))
    other = send(a_run())

    ids = [mail["Message-ID"] for mail in inbox.mails]
    assert ids[0] == ids[1] == first["message_id"] == f"<{RUN_ID}.jobs-app@example.com>"
    assert ids[2] == other["message_id"] != ids[0]


def test_the_sender_can_be_another(inbox: Inbox, plain_server: Server) -> None:
    send(sender="Reports <reports@other.example>")

    assert inbox.envelopes[0].mail_from == "reports@other.example"
    assert inbox.mails[0]["Message-ID"].endswith("@other.example>")


def test_a_signed_in_mail_goes_over_starttls(
    inbox: Inbox, strict_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(
        "JOBS_SMTP_URL",
        f"smtp://me%40example.com:p%40ss%2Fword@localhost:{strict_server.port}"
        f"?tls=starttls&ca={CERTIFICATE}",
    )

    send()

    assert inbox.sessions[0].ssl is not None
    assert inbox.sessions[0].authenticated


def test_a_wrong_password_fails_and_is_not_repeated(
    inbox: Inbox, strict_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(
        "JOBS_SMTP_URL",
        f"smtp://me%40example.com:hunter2@localhost:{strict_server.port}"
        f"?tls=starttls&ca={CERTIFICATE}",
    )

    with pytest.raises(EmailFailed, match=r"refused the sign-in \(535\)") as raised:
        send()

    assert "hunter2" not in str(raised.value)


def test_an_untrusted_certificate_gets_no_password(
    inbox: Inbox, strict_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(
        "JOBS_SMTP_URL",
        f"smtp://me%40example.com:p%40ss%2Fword@localhost:{strict_server.port}?tls=starttls",
    )

    with pytest.raises(EmailFailed, match=r"no encrypted connection .*CERTIFICATE_VERIFY_FAILED"):
        send()

    assert inbox.mails == []


def test_a_server_without_starttls_is_not_sent_to_in_the_clear(
    inbox: Inbox, plain_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(
        "JOBS_SMTP_URL", f"smtp://me:secret@127.0.0.1:{plain_server.port}?tls=starttls"
    )

    with pytest.raises(EmailFailed, match="STARTTLS extension not supported"):
        send()

    assert inbox.mails == []


def test_smtps_is_encrypted_from_the_first_byte(
    inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = Server(inbox, implicit_tls=True)
    monkeypatch.setenv("JOBS_SMTP_URL", f"smtps://localhost:{server.port}?ca={CERTIFICATE}")
    monkeypatch.setenv("JOBS_SMTP_FROM", "jobs@example.com")
    server.start()
    try:
        send()
    finally:
        server.stop()

    assert len(inbox.mails) == 1


def test_one_refused_recipient_fails_the_run_and_the_others_get_the_mail(
    inbox: Inbox, plain_server: Server
) -> None:
    output = Output()

    with pytest.raises(EmailFailed) as raised:
        send(a_run(output), to=["you@example.com", "nobody@example.com"])

    assert str(raised.value) == (
        "The mail server refused nobody@example.com (550 5.1.1 No such person here);"
        " the mail went to the other 1."
    )
    assert inbox.envelopes[0].rcpt_tos == ["you@example.com"]
    assert "nobody@example.com: 550 5.1.1 No such person here by" in output.out
    assert "you@example.com: accepted by" in output.out


def test_when_all_are_refused_nothing_is_sent(inbox: Inbox, plain_server: Server) -> None:
    with pytest.raises(EmailFailed, match=r"nobody@example\.com \(550 .*here\)\.$"):
        send(to=["nobody@example.com", "nowhere@example.com"])

    assert inbox.mails == []


def test_a_refused_mail_fails_with_the_servers_words(inbox: Inbox, plain_server: Server) -> None:
    with pytest.raises(EmailFailed, match=r"refused the mail \(554 5\.7\.1 We take no spam\)"):
        send(subject="spam")


def test_nobody_there_fails_with_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    monkeypatch.setenv("JOBS_SMTP_URL", f"smtp://127.0.0.1:{port}")
    monkeypatch.setenv("JOBS_SMTP_FROM", "jobs@example.com")

    with pytest.raises(EmailFailed, match=f"127.0.0.1:{port}: the mail was not taken"):
        send()


@pytest.fixture
def silent_port(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """A mail server that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        monkeypatch.setenv("JOBS_SMTP_URL", f"smtp://127.0.0.1:{port}")
        monkeypatch.setenv("JOBS_SMTP_FROM", "jobs@example.com")
        yield port


def test_a_server_that_hangs_is_cut_off_at_the_deadline(silent_port: int) -> None:
    started = time.monotonic()

    with pytest.raises(TimedOut, match=f"127.0.0.1:{silent_port} did not take the mail within 0.5"):
        send(timeout_seconds=0.5)

    assert time.monotonic() - started < 5


def test_a_cancelled_run_does_not_wait_for_the_server(silent_port: int) -> None:
    started = time.monotonic()
    context = a_run(
        is_cancelled=lambda: CancelMode.GRACEFUL if time.monotonic() > started + 0.3 else None
    )

    with pytest.raises(Cancelled):
        send(context)

    assert time.monotonic() - started < 5


def test_the_time_limit_of_the_run_holds_too(silent_port: int) -> None:
    with pytest.raises(TimedOut, match="time limit"):
        send(a_run(time_limit_seconds=0.3))


class Slow(Inbox):
    """Is slow for each recipient."""

    def __init__(self) -> None:
        super().__init__()
        self.is_asked = threading.Event()

    # The library calls it by this name.
    async def handle_RCPT(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        self.is_asked.set()
        await asyncio.sleep(1.0)
        envelope.rcpt_tos.append(address)
        return "250 OK"


def test_a_run_that_is_stopped_in_the_middle_sends_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    inbox = Slow()
    server = Server(inbox)
    server.start()
    monkeypatch.setenv("JOBS_SMTP_URL", f"smtp://127.0.0.1:{server.port}")
    monkeypatch.setenv("JOBS_SMTP_FROM", "jobs@example.com")
    context = a_run(is_cancelled=lambda: CancelMode.GRACEFUL if inbox.is_asked.is_set() else None)

    with pytest.raises(Cancelled):
        send(context)
    threads = [thread for thread in threading.enumerate() if thread.name == "smtp"]
    for thread in threads:
        thread.join(10)
    server.stop()

    assert inbox.is_asked.is_set()
    assert inbox.mails == []


def last_log(text: str, *, is_cut: bool = False) -> LastLog:
    return LastLog(
        run_id=RUN_ID,
        job="nightly",
        state="failed",
        finished_at=datetime(2026, 6, 15, 2, 31, 5, tzinfo=UTC),
        text=text,
        is_cut=is_cut,
    )


def test_the_log_of_a_jobs_last_run_is_attached(inbox: Inbox, plain_server: Server) -> None:
    calls: list[tuple[str, int]] = []

    def of(job: str, limit_bytes: int) -> LastLog:
        calls.append((job, limit_bytes))
        return last_log("größe\nboom\n", is_cut=True)

    result = send(a_run(last_log=of), body="Good morning", attach_log_of="nightly")

    (attachment,) = inbox.mails[0].iter_attachments()
    assert calls == [("nightly", 1_048_576)]
    assert attachment.get_filename() == f"nightly-{RUN_ID}.log"
    assert attachment.get_content().splitlines() == ["größe", "boom"]
    assert text_of(inbox.mails[0]) == (
        "Good morning\n\n"
        f"The last run of nightly, {RUN_ID}: failed at 2026-06-15 02:31:05 UTC."
        " Its log is attached, without its beginning.\n"
    )
    assert result["attached_log_of"] == str(RUN_ID)


def test_a_job_that_never_ran_is_mentioned_and_the_mail_is_sent(
    inbox: Inbox, plain_server: Server
) -> None:
    result = send(attach_log_of="nightly")

    assert text_of(inbox.mails[0]) == "nightly has had no run that ended: no log is attached.\n"
    assert list(inbox.mails[0].iter_attachments()) == []
    assert result["attached_log_of"] is None


def test_an_empty_log_is_not_attached(inbox: Inbox, plain_server: Server) -> None:
    send(a_run(last_log=lambda _job, _limit: last_log("")), attach_log_of="nightly")

    assert "It wrote nothing." in text_of(inbox.mails[0])
    assert list(inbox.mails[0].iter_attachments()) == []


def test_a_subject_that_would_forge_headers_is_never_sent(
    inbox: Inbox, plain_server: Server
) -> None:
    forged: list[dict[str, Any]] = [
        {"subject": "a\r\nBcc: forged@example.com"},
        {"subject": "=?utf-8?q?a=0d=0aBcc:_forged@example.com?="},
        {"subject": "=?utf-8?b?DQpCY2M6IHhAeS56?="},
        {"to": "a@example.com\r\nBcc: forged@example.com"},
        {"sender": "a@example.com\nBcc: forged@example.com"},
    ]
    for kwargs in forged:
        with pytest.raises((EmailFailed, ValueError)):
            send(**kwargs)

    assert inbox.mails == []


def test_without_a_server_or_a_sender_the_run_says_which_setting_is_missing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(EmailFailed, match="JOBS_SMTP_URL"):
        send()
    monkeypatch.setenv("JOBS_SMTP_URL", "smtp://127.0.0.1:9")
    with pytest.raises(EmailFailed, match="JOBS_SMTP_FROM"):
        send()


def faults(**kwargs: Any) -> list[tuple[str, str]]:
    arguments = {"to": "you@example.com", "subject": "Hello"} | kwargs
    return [(e.pointer, e.code) for e in registry.check(TASKS, "email", arguments)]


@pytest.mark.parametrize(
    "kwargs, expected",
    [
        ({}, []),
        ({"to": ["You <you@example.com>", "me@exämple.com"], "cc": []}, []),
        ({"to": "ü@example.com"}, [("/kwargs/to", "bad_address")]),
        ({"to": []}, [("/kwargs/to", "too_short")]),
        ({"to": "you"}, [("/kwargs/to", "bad_address")]),
        ({"to": "a@example.com, b@example.com"}, [("/kwargs/to", "bad_address")]),
        ({"to": ["a@example.com", "b@"]}, [("/kwargs/to/1", "bad_address")]),
        ({"to": "a@example.com\r\nBcc: b@example.com"}, [("/kwargs/to", "bad_address")]),
        ({"subject": "a\nBcc: b@example.com"}, [("/kwargs/subject", "bad_header")]),
        ({"subject": "=?utf-8?q?a=0aBcc:_b@c.de?="}, [("/kwargs/subject", "bad_header")]),
        ({"subject": 5}, [("/kwargs/subject", "wrong_type")]),
        ({"sender": "me"}, [("/kwargs/sender", "bad_address")]),
        ({"timeout_seconds": 0}, [("/kwargs/timeout_seconds", "too_small")]),
        ({"from": "me@example.com"}, [("/kwargs/from", "unknown_argument")]),
    ],
)
def test_arguments_that_make_no_mail_are_refused_before_they_are_saved(
    kwargs: dict[str, Any], expected: list[tuple[str, str]]
) -> None:
    assert faults(**kwargs) == expected


def test_a_job_without_mail_settings_is_warned_of(monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = {"to": "you@example.com", "subject": "Hello"}

    assert "JOBS_SMTP_URL" in registry.argument_warnings(TASKS, "email", arguments)[0]
    monkeypatch.setenv("JOBS_SMTP_URL", "smtps://mail.example.com")
    assert "JOBS_SMTP_FROM" in registry.argument_warnings(TASKS, "email", arguments)[0]
    monkeypatch.setenv("JOBS_SMTP_FROM", "jobs@example.com")
    assert registry.argument_warnings(TASKS, "email", arguments) == []


def test_an_address_is_read_with_its_name() -> None:
    assert address_of('"Last, First" <me@example.com>').display_name == "Last, First"
    assert address_of("me@example.com").addr_spec == "me@example.com"
    assert address_of("me@exämple.com").addr_spec == "me@xn--exmple-cua.com"
