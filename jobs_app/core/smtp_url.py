"""The mail server that JOBS_SMTP_URL names."""

from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import parse_qsl, unquote, urlsplit

from jobs_app.core.url_server import server_fault

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})

FORM = (
    "use smtp://USER:PASSWORD@HOST:587 (STARTTLS) or smtps://USER:PASSWORD@HOST:465, "
    "with ?ca=/PATH/FILE for an authority of your own and ?tls=none for no encryption at all"
)


@dataclass(frozen=True, slots=True)
class MailServer:
    """An SMTP server, and how the connection to it is encrypted.

    `ca` is the path of a file with the certificates to trust, None for those of the machine.
    """

    host: str
    port: int
    security: Literal["starttls", "tls", "none"]
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    ca: str | None = None

    @property
    def address(self) -> str:
        """The host and the port, for messages."""
        return f"{self.host}:{self.port}"


def mail_server(url: str) -> MailServer:
    """Return the server that *url* names; raises ValueError, which does not echo the URL.

    `smtp://` requires STARTTLS. On a loopback address it means no encryption, unless
    `?tls=starttls` asks for it.
    """
    try:
        parts = urlsplit(url)
        port, host = parts.port, parts.hostname
    except ValueError as error:
        raise ValueError(FORM) from error
    if fault := server_fault(url):
        raise ValueError(f"it {fault.removesuffix('.')}")
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    tls = options.pop("tls", None)
    ca = options.pop("ca", None)
    is_implicit = parts.scheme == "smtps"
    if parts.scheme not in ("smtp", "smtps") or not host or options or parts.path not in ("", "/"):
        raise ValueError(FORM)
    if tls not in (None, "starttls", "none") or (tls is not None and is_implicit) or ca == "":
        raise ValueError(FORM)
    security: Literal["starttls", "tls", "none"]
    if is_implicit:
        security = "tls"
    else:
        security = "none" if tls == "none" or (not tls and host in LOOPBACK) else "starttls"
    return MailServer(
        host=host,
        port=port or (465 if is_implicit else 587),
        security=security,
        user=unquote(parts.username) if parts.username else None,
        password=unquote(parts.password) if parts.password else None,
        ca=ca,
    )
