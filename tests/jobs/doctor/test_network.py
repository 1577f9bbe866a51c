"""Networks that are set up wrong on purpose: ports, addresses, mail servers."""

import socket
import threading
from collections.abc import Iterable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.handlers import Sink
from aiosmtpd.smtp import AuthResult

from jobs_app.core.settings import Settings
from jobs_app.jobs.doctor import network
from jobs_app.jobs.doctor.findings import Finding
from jobs_app.up.valkey import free_port


def levels(findings: Iterable[Finding]) -> list[tuple[str, str]]:
    return [(finding.check, str(finding.level)) for finding in findings]


@pytest.mark.parametrize(
    "values, expected",
    [
        ({"host": "127.0.0.1"}, None),
        ({"host": "0.0.0.0"}, "error"),
        ({"host": "0.0.0.0", "plain_http": True}, "warning"),
        (
            {"host": "0.0.0.0", "plain_http": True, "public_url": "https://jobs.example.org"},
            None,
        ),
        ({"host": "0.0.0.0", "plain_http": True, "trusted_proxy": "10.0.0.1"}, None),
        ({"host": "0.0.0.0", "plain_http": True, "public_url": "http://127.0.0.1:8080"}, None),
        ({"host": "0.0.0.0", "plain_http": True, "public_url": "http://nas.lan"}, "warning"),
    ],
)
def test_a_port_open_to_the_network(
    tmp_path: Path, values: dict[str, object], expected: str | None
) -> None:
    settings = Settings(data_dir=tmp_path, **values)  # type: ignore[arg-type]  # checked by pydantic

    found = levels(network.open_port(settings))

    assert found == ([] if expected is None else [("open_port", expected)])


class Ours(BaseHTTPRequestHandler):
    """Answers as our web server does."""

    def do_GET(self) -> None:
        """Say that it lives, at /healthz alone."""
        self.send_response(200 if self.path == "/healthz" else 404)
        self.end_headers()
        self.wfile.write(b'{"status":"alive"}')

    def log_message(self, *_: object) -> None:
        """Stay quiet."""


@pytest.fixture
def our_server() -> Iterator[int]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Ours) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield server.server_port
        server.shutdown()


def test_a_port_that_another_program_has(
    tmp_path: Path, our_server: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(network, "SECONDS", 0.2)

    def found(port: int) -> list[Finding]:
        return list(network.port(Settings(data_dir=tmp_path, port=port)))

    with socket.create_server(("127.0.0.1", 0)) as silent:
        taken = silent.getsockname()[1]
        (finding,) = found(taken)
    assert (finding.check, finding.level) == ("port", "warning")
    assert f"has the port {taken} of 127.0.0.1" in finding.sentence
    assert "JOBS_PORT" in finding.remedy
    assert found(our_server) == found(free_port()) == []


def test_a_mail_server_that_is_not_there_or_refuses_the_sign_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(network, "SECONDS", 2.0)

    def found(url: str | None) -> list[Finding]:
        return list(network.mail_server(Settings(data_dir=tmp_path, smtp_url=url)))

    port = free_port()
    mails = Controller(
        Sink(),
        hostname="127.0.0.1",
        port=port,
        auth_require_tls=False,
        authenticator=lambda *_: AuthResult(success=False, handled=False),
    )
    mails.start()
    try:
        (refused,) = found(f"smtp://me:hunter2@127.0.0.1:{port}")
        (encrypted,) = found(f"smtps://127.0.0.1:{port}")
        (no_starttls,) = found(f"smtp://127.0.0.1:{port}?tls=starttls")
        assert found(f"smtp://127.0.0.1:{port}") == []
    finally:
        mails.stop()
    (gone,) = found(f"smtp://127.0.0.1:{port}")

    assert levels([refused, encrypted, no_starttls, gone]) == [("mail_server", "warning")] * 4
    assert "refuses the sign-in (535)" in refused.sentence
    assert "hunter2" not in refused.sentence
    assert "the user and the password" in refused.remedy
    assert "smtps://" in encrypted.remedy
    assert "smtps://" in no_starttls.remedy
    assert f"127.0.0.1:{port}" in gone.sentence
    assert "host and port" in gone.remedy
    assert found(None) == []
