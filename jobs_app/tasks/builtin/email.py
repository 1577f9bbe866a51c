"""The task `email`: sends one mail by SMTP, with the log of a job's last run if asked for."""

import smtplib
import socket
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import UTC
from email import policy
from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import format_datetime
from typing import Annotated, Any, TypedDict

from celery import shared_task
from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from jobs_app.core import clock
from jobs_app.core.settings import Settings
from jobs_app.core.smtp_url import MailServer
from jobs_app.core.text import reason_of
from jobs_app.tasks import smtp_connection
from jobs_app.tasks.any_task import AnyTask
from jobs_app.tasks.context import EmailFailed, LastLog, RunContext, TimedOut, current_run

#: Most bytes of a log that are attached: its end.
ATTACHED_BYTES = 1_048_576

MOST_RECIPIENTS = 100
STEP_SECONDS = 20.0
POLL_SECONDS = 0.2
SERVER_TEXT_CHARS = 200


def _has_control(text: str) -> bool:
    return any(char < " " or char == "\x7f" for char in text)


def _check_subject(text: str) -> None:
    """Raise ValueError if *text* would add a header, also in encoded words (RFC 2047).

    Python decodes these, and writes the line ends in them as they are.
    """
    if _has_control(text) or _has_control(str(policy.SMTP.header_factory("Subject", text))):
        raise ValueError("a control character in the subject")


def _one_line(text: str) -> str:
    try:
        _check_subject(text)
    except ValueError:
        raise PydanticCustomError(
            "bad_header", "must be one line, without control characters."
        ) from None
    return text


def _mail_address(text: str) -> str:
    try:
        address_of(text)
    except ValueError as error:
        raise PydanticCustomError(
            "bad_address", "must be an address, as in me@example.com or Me <me@example.com>."
        ) from error
    return text


Line = Annotated[str, AfterValidator(_one_line), Field(max_length=500)]
MailAddress = Annotated[str, AfterValidator(_mail_address), Field(max_length=500)]
Copies = MailAddress | Annotated[list[MailAddress], Field(max_length=MOST_RECIPIENTS)]
Recipients = (
    MailAddress | Annotated[list[MailAddress], Field(min_length=1, max_length=MOST_RECIPIENTS)]
)


class EmailResult(TypedDict):
    """The recipients, and the run whose log is attached; all attempts share `message_id`."""

    message_id: str
    recipients: list[str]
    attached_log_of: str | None
    duration_seconds: float


class EmailTask(AnyTask):
    """The base of `email`: warns about missing settings."""

    abstract = True

    @staticmethod
    def warnings_of(kwargs: Mapping[str, Any], settings: Settings) -> Iterator[str]:
        """Yield warnings about settings that the worker needs."""
        if settings.smtp_url is None:
            yield "JOBS_SMTP_URL is not set here; the worker needs it to send mail."
        elif settings.smtp_from is None and not kwargs.get("sender"):
            yield "There is no sender, and JOBS_SMTP_FROM is not set here; the worker needs one."


@shared_task(name="email", base=EmailTask)
def email(
    to: Annotated[Recipients, Field(examples=["me@example.com"])],
    subject: Annotated[Line, Field(examples=["The nightly report"])],
    body: str = "",
    html: str | None = None,
    cc: Copies | None = None,
    bcc: Copies | None = None,
    sender: MailAddress | None = None,
    reply_to: MailAddress | None = None,
    attach_log_of: str | None = None,
    timeout_seconds: Annotated[float, Field(gt=0, le=3_600)] = 60,
) -> EmailResult:
    """Send a mail by the server of JOBS_SMTP_URL.

    All attempts of a run send the same Message-ID, made from the run's id. If the server
    refuses some recipients, the others get the mail, and the run fails.

    Args:
        to: An address, or a list of them.
        subject: One line.
        body: The text.
        html: The text as HTML.
        cc: Addresses that get a copy.
        bcc: Addresses that get a copy, hidden from the others.
        sender: The sender's address; by default JOBS_SMTP_FROM.
        reply_to: The address for answers.
        attach_log_of: A job: its last finished run is summarised below the text, and its log
            attached.
        timeout_seconds: For everything.
    """
    context = current_run.get()
    settings = context.settings or Settings()
    server = settings.mail_server
    if server is None:
        raise EmailFailed("No mail server is configured: set JOBS_SMTP_URL for the worker.")
    sender = sender or settings.smtp_from
    if sender is None:
        raise EmailFailed("The mail has no sender: set JOBS_SMTP_FROM for the worker, or sender.")
    last_log = None
    if attach_log_of is not None:
        last_log = context.last_log(attach_log_of, ATTACHED_BYTES)
        body = f"{body.rstrip()}\n\n{_about(attach_log_of, last_log)}\n".lstrip()
    message = _message(context, sender, subject, body, html)
    try:
        _address(message, "To", _as_list(to))
        _address(message, "Cc", _as_list(cc))
        _address(message, "Reply-To", _as_list(reply_to))
    except ValueError as error:
        raise EmailFailed("An address cannot be read.") from error
    if last_log is not None and last_log.text:
        name = f"{last_log.job}-{last_log.run_id}.log"
        message.add_attachment(last_log.text, subtype="plain", filename=name)
    recipients = dict.fromkeys(
        address_of(text).addr_spec for text in [*_as_list(to), *_as_list(cc), *_as_list(bcc)]
    )
    delivery = _Delivery(server, message, address_of(sender).addr_spec, list(recipients))
    started = time.monotonic()
    _send_unless_stopped(context, delivery, timeout_seconds)
    for line in delivery.report():
        context.log.write("stdout", f"{line}\n".encode())
    if delivery.refused:
        who = ", ".join(f"{address} ({why})" for address, why in delivery.refused.items())
        rest = len(recipients) - len(delivery.refused)
        others = f"; the mail went to the other {rest}" if rest else ""
        raise EmailFailed(f"The mail server refused {who}{others}.")
    return EmailResult(
        message_id=str(message["Message-ID"]),
        recipients=list(recipients),
        attached_log_of=None if last_log is None else str(last_log.run_id),
        duration_seconds=round(time.monotonic() - started, 3),
    )


def address_of(text: str) -> Address:
    """Return the address in *text*; raises ValueError unless there is exactly one."""
    if any(char < " " or char == "\x7f" for char in text):
        raise ValueError("a control character in an address")
    try:
        header = policy.SMTP.header_factory("To", text)
    except (MessageError, LookupError, AttributeError) as error:
        # The parser raises for some texts, instead of noting a defect.
        raise ValueError("not an address") from error
    addresses: tuple[Address, ...] = header.addresses
    if header.defects or len(addresses) != 1:
        raise ValueError("not one address")
    (address,) = addresses
    if not address.username or not address.domain:
        raise ValueError("not one address")
    domain = address.domain.encode("idna").decode("ascii")
    return Address(display_name=address.display_name, username=address.username, domain=domain)


def _as_list(value: str | list[str] | None) -> list[str]:
    return [] if value is None else [value] if isinstance(value, str) else value


def _about(job: str, log: LastLog | None) -> str:
    """Return the line about the run whose log is attached."""
    if log is None:
        return f"{job} has had no run that ended: no log is attached."
    ended = log.finished_at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    content = "Its log is attached" if log.text else "It wrote nothing"
    cut = ", without its beginning" if log.is_cut else ""
    state = log.state.replace("_", " ")
    return f"The last run of {job}, {log.run_id}: {state} at {ended}. {content}{cut}."


def _message(
    context: RunContext, sender: str, subject: str, body: str, html: str | None
) -> EmailMessage:
    message = EmailMessage(policy=policy.SMTP)
    try:
        address = address_of(sender)
        message["From"] = address
        _check_subject(subject)
        message["Subject"] = subject
    except ValueError as error:
        raise EmailFailed("The sender or the subject cannot be put into a mail.") from error
    message["Date"] = format_datetime(clock.now())
    message["Message-ID"] = f"<{context.run_id}.jobs-app@{address.domain}>"
    # Prevents automatic replies.
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(body)
    if html is not None:
        message.add_alternative(html, subtype="html")
    return message


def _address(message: EmailMessage, header: str, texts: list[str]) -> None:
    if texts:
        message[header] = [address_of(text) for text in texts]


class _Delivery:
    """The delivery of one mail, in a thread of its own: smtplib blocks until its socket closes."""

    def __init__(
        self, server: MailServer, message: EmailMessage, sender: str, recipients: list[str]
    ) -> None:
        self.server = server
        self.refused: dict[str, str] = {}
        self._message = message
        self._sender = sender
        self._recipients = recipients
        self._error: EmailFailed | None = None
        self._smtp: smtplib.SMTP | None = None
        self._is_given_up = False
        self._thread = threading.Thread(target=self._work, name="smtp", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def is_done(self, *, wait_seconds: float) -> bool:
        """Return whether the delivery is over; raises EmailFailed if it failed."""
        self._thread.join(wait_seconds)
        if self._thread.is_alive():
            return False
        if self._error is not None:
            raise self._error
        return True

    def give_up(self) -> None:
        """Shut the connection down, so that nothing more is sent."""
        self._is_given_up = True
        sock = self._smtp.sock if self._smtp is not None else None
        if isinstance(sock, socket.socket):
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def report(self) -> Iterator[str]:
        """Yield a line for each recipient."""
        for address in self._recipients:
            yield f"{address}: {self.refused.get(address, 'accepted')} by {self.server.address}"

    def _work(self) -> None:
        where = self.server.address
        try:
            self._send()
        except smtplib.SMTPRecipientsRefused as error:
            self.refused = _reasons(error.recipients)
        except smtplib.SMTPNotSupportedError as error:
            self._error = EmailFailed(f"{where}: {str(error).rstrip('.')}.")
        except smtplib.SMTPAuthenticationError as error:
            self._error = EmailFailed(f"{where} refused the sign-in ({error.smtp_code}).")
        except smtplib.SMTPResponseException as error:
            answer = _answer_text(error.smtp_code, error.smtp_error)
            self._error = EmailFailed(f"{where} refused the mail ({answer}).")
        except ssl.SSLError as error:
            self._error = EmailFailed(f"{where}: no encrypted connection ({reason_of(error)}).")
        except (OSError, smtplib.SMTPException, ValueError) as error:
            self._error = EmailFailed(f"{where}: the mail was not taken ({reason_of(error)}).")

    def _send(self) -> None:
        server = self.server
        self._smtp = smtp = smtp_connection.connect(server, seconds=STEP_SECONDS)
        try:
            self._stop_if_given_up()
            smtp_connection.encrypt(smtp, server)
            if server.user is not None:
                self._stop_if_given_up()
                smtp.login(server.user, server.password or "")
            self._stop_if_given_up()
            refused = smtp.send_message(self._message, self._sender, self._recipients)
            self.refused = _reasons(refused)
            with suppress(OSError, smtplib.SMTPException):
                smtp.quit()
        finally:
            smtp.close()

    def _stop_if_given_up(self) -> None:
        if self._is_given_up:
            raise OSError("given up")


def _send_unless_stopped(context: RunContext, delivery: _Delivery, timeout_seconds: float) -> None:
    started = time.monotonic()
    delivery.start()
    try:
        while True:
            elapsed = time.monotonic() - started
            context.stop_if_asked(elapsed_seconds=elapsed)
            if elapsed >= timeout_seconds:
                where = delivery.server.address
                raise TimedOut(f"{where} did not take the mail within {timeout_seconds:g} s.")
            if delivery.is_done(wait_seconds=min(POLL_SECONDS, timeout_seconds - elapsed)):
                return
    finally:
        delivery.give_up()


def _reasons(refused: Mapping[str, tuple[int, bytes]]) -> dict[str, str]:
    return {address: _answer_text(code, text) for address, (code, text) in refused.items()}


def _answer_text(code: int, text: bytes | str) -> str:
    answer = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
    return f"{code} {' '.join(answer.split())}"[:SERVER_TEXT_CHARS].rstrip(" .")
