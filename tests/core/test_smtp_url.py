"""The mail server that JOBS_SMTP_URL names."""

import pytest

from jobs_app.core.settings import Settings


@pytest.mark.parametrize(
    "url, host, port, security, user",
    [
        ("smtp://mail.example.com", "mail.example.com", 587, "starttls", None),
        (
            "smtp://me%40example.com:pw@mail.example.com:2525",
            "mail.example.com",
            2525,
            "starttls",
            "me@example.com",
        ),
        ("smtps://mail.example.com", "mail.example.com", 465, "tls", None),
        ("smtp://mail.example.com?tls=none", "mail.example.com", 587, "none", None),
        ("smtp://localhost:25", "localhost", 25, "none", None),
        ("smtp://[::1]:25", "::1", 25, "none", None),
        ("smtp://127.0.0.1:25?tls=starttls", "127.0.0.1", 25, "starttls", None),
    ],
)
def test_mail_is_encrypted_unless_it_is_local_or_tls_is_none(
    url: str, host: str, port: int, security: str, user: str | None
) -> None:
    server = Settings(smtp_url=url).mail_server

    assert server is not None
    assert (server.host, server.port, server.security, server.user) == (host, port, security, user)


def test_the_password_of_the_mail_server_is_not_shown() -> None:
    settings = Settings(smtp_url="smtp://me:hunter2@mail.example.com")

    assert settings.mail_server is not None
    assert settings.mail_server.password == "hunter2"
    assert "hunter2" not in f"{settings!r} {settings.mail_server!r}"
