"""Connections to a mail server: greeted, and encrypted where the address asks for it."""

import smtplib
from collections.abc import Iterator

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.handlers import Sink

from jobs_app.core.smtp_url import mail_server
from jobs_app.tasks import smtp_connection
from jobs_app.up.valkey import free_port


@pytest.fixture
def port() -> Iterator[int]:
    """The port of a server without TLS."""
    server = Controller(Sink(), hostname="127.0.0.1", port=free_port())
    server.start()
    yield server.port
    server.stop()


def test_a_plain_connection_is_greeted_and_left_as_it_is(port: int) -> None:
    server = mail_server(f"smtp://127.0.0.1:{port}")

    with smtp_connection.connect(server, seconds=5) as smtp:
        smtp_connection.encrypt(smtp, server)
        assert smtp.noop()[0] == 250


def test_a_connection_without_starttls_is_refused_where_the_address_asks_for_it(port: int) -> None:
    server = mail_server(f"smtp://127.0.0.1:{port}?tls=starttls")

    with (
        smtp_connection.connect(server, seconds=5) as smtp,
        pytest.raises(smtplib.SMTPNotSupportedError),
    ):
        smtp_connection.encrypt(smtp, server)
