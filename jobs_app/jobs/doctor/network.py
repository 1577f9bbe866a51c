"""Checks of the network: the port of the web server, its protection, and the mail server."""

import http.client
import json
import smtplib
import socket
import ssl
from collections.abc import Iterator
from urllib.parse import urlsplit

from jobs_app.core.exposure import is_loopback
from jobs_app.core.settings import Settings
from jobs_app.core.smtp_url import MailServer
from jobs_app.core.text import reason_of
from jobs_app.core.web_address import connect_host, is_local_http
from jobs_app.jobs.doctor.findings import Finding, Level
from jobs_app.tasks import smtp_connection

#: How long each step with another program may take, seconds.
SECONDS = 3.0


def open_port(settings: Settings) -> Iterator[Finding]:
    """Yield a finding if other machines reach the web server without TLS."""
    if is_loopback(settings.host):
        return
    if not settings.plain_http:
        yield Finding(
            "open_port",
            Level.ERROR,
            f"JOBS_HOST {settings.host or '(empty)'} lets other machines connect by plain HTTP: the"
            " web server refuses to start.",
            "Use 127.0.0.1 with a TLS proxy before it, or set JOBS_PLAIN_HTTP=true where a proxy"
            " protects it.",
        )
        return
    is_https = urlsplit(settings.public_url or "").scheme == "https"
    # A container's port may be published on loopback alone, as in compose.yaml.
    is_safe = is_https or is_local_http(settings.public_url)
    if settings.trusted_proxy is None and not is_safe:
        yield Finding(
            "open_port",
            Level.WARNING,
            f"The web server listens on {settings.host} by plain HTTP, and neither JOBS_PUBLIC_URL"
            " nor JOBS_TRUSTED_PROXY names a proxy with TLS: whoever reads the network has the"
            " tokens.",
            "Put a TLS proxy before it, and set JOBS_PUBLIC_URL to its https address.",
        )


def port(settings: Settings) -> Iterator[Finding]:
    """Yield a warning if another program than our web server has its port."""
    host = connect_host(settings.host)
    if _is_ours(host, settings.port) is False:
        yield Finding(
            "port",
            Level.WARNING,
            f"A program that does not answer as jobs-app has the port {settings.port} of {host}: a"
            " web server cannot start here.",
            f"Stop it (ss -ltnp 'sport = :{settings.port}' names it), or set JOBS_PORT to another"
            " port.",
        )


def _is_ours(host: str, port: int) -> bool | None:
    """Tell whether the program that listens there is jobs-app; None if none does."""
    try:
        socket.create_connection((host, port), SECONDS).close()
    except OSError:
        return None
    connection = http.client.HTTPConnection(host, port, timeout=SECONDS)
    try:
        connection.request("GET", "/healthz")
        answer = json.loads(connection.getresponse().read(200))
    except (OSError, http.client.HTTPException, ValueError):
        return False
    finally:
        connection.close()
    return bool(answer == {"status": "alive"})


def mail_server(settings: Settings) -> Iterator[Finding]:
    """Yield a warning if the mail server does not let a sender in. No mail is sent."""
    server = settings.mail_server
    if server is None:
        return
    try:
        _greet(server)
    except smtplib.SMTPAuthenticationError as error:
        reason = f"it refuses the sign-in ({error.smtp_code})"
        remedy = "Correct the user and the password in JOBS_SMTP_URL."
    except (OSError, smtplib.SMTPException) as error:
        reason = reason_of(error)
        remedy = "Correct host and port in JOBS_SMTP_URL, or open the way there (firewall, DNS)."
        if isinstance(error, ssl.SSLError | smtplib.SMTPNotSupportedError):
            remedy = (
                "Use smtps:// for a port with TLS from the start (465), smtp:// for STARTTLS (587),"
                " and ?ca=FILE for a certificate of your own."
            )
    else:
        return
    yield Finding(
        "mail_server",
        Level.WARNING,
        f"The mail server {server.address} of JOBS_SMTP_URL takes no mail: {reason}. Jobs with the"
        " task email fail.",
        remedy,
    )


def _greet(server: MailServer) -> None:
    """Connect as the task `email` does, and sign in; raises OSError or SMTPException."""
    smtp = smtp_connection.connect(server, seconds=SECONDS)
    try:
        smtp_connection.encrypt(smtp, server)
        if server.user is not None:
            smtp.login(server.user, server.password or "")
    finally:
        smtp.close()
