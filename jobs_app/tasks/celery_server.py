"""The servers of other people's Celery: a broker, or a Redis with results, as a URL names them."""

import ssl
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from jobs_app.core.url_server import server_fault

REDIS, AMQP = "redis", "amqp"

#: The port of each scheme, in the clear and with TLS. Celery's tutorial writes pyamqp://.
PORTS = {"redis": 6379, "rediss": 6379, "amqp": 5672, "pyamqp": 5672, "amqps": 5671}

FORM = (
    "use redis://USER:PASSWORD@HOST:6379/0, rediss:// for TLS, amqp://USER:PASSWORD@HOST:5672/VHOST"
    " or amqps://, with ?ssl_ca_certs=/PATH/FILE for an authority of your own"
)

#: The values of `ssl_cert_reqs` in the URLs of Celery and of redis-py.
_CHECKS_CERTIFICATE = {
    **dict.fromkeys(("required", "CERT_REQUIRED"), True),
    **dict.fromkeys(("none", "CERT_NONE"), False),
}


@dataclass(frozen=True, slots=True)
class CeleryServer:
    """A broker or a result backend.

    `path` is the number of a Redis database, or a virtual host. `key_prefix` stands before
    each key in Redis. `ca` is the path of a file with the certificates to trust, None for
    those of the machine.
    """

    kind: Literal["redis", "amqp"]
    host: str
    port: int
    path: str
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    is_encrypted: bool = False
    checks_certificate: bool = True
    ca: str | None = None
    key_prefix: str = ""

    @property
    def address(self) -> str:
        """The host and the port, for messages."""
        return f"{self.host}:{self.port}"

    def host_to_call(self, address: str) -> str:
        """Return the host to connect to: *address*, which was checked.

        redis-py compares the certificate with the host that it calls, so that there it is the
        name. The certificate holds the name then, wherever a second look-up leads.
        """
        is_by_name = self.kind == REDIS and self.is_encrypted and self.checks_certificate
        return self.host if is_by_name else address

    def tls(self) -> dict[str, Any] | None:
        """Return the options of TLS for the library of this kind of server; None without TLS."""
        if not self.is_encrypted:
            return None
        requirement = ssl.CERT_REQUIRED if self.checks_certificate else ssl.CERT_NONE
        if self.kind == AMQP:
            name = {"server_hostname": self.host} if self.checks_certificate else {}
            return {"cert_reqs": requirement, "ca_certs": self.ca, **name}
        return {
            "ssl_cert_reqs": requirement,
            "ssl_ca_certs": self.ca,
            "ssl_check_hostname": self.checks_certificate,
        }


def celery_server(url: str, *, only_redis: bool = False) -> CeleryServer:
    """Return the server that *url* names; raises ValueError, which does not echo the URL."""
    form = "use redis://USER:PASSWORD@HOST:6379/0, or rediss:// for TLS" if only_redis else FORM
    try:
        parts = urlsplit(url)
        port, host = parts.port, parts.hostname
    except ValueError as error:
        raise ValueError(form) from error
    if fault := server_fault(url):
        raise ValueError(f"it {fault.removesuffix('.')}")
    kind: Literal["redis", "amqp"] = "redis" if parts.scheme.startswith(REDIS) else "amqp"
    if parts.scheme not in PORTS or not host or parts.fragment or (only_redis and kind == AMQP):
        raise ValueError(form)
    is_encrypted = parts.scheme.endswith("s") and parts.scheme != REDIS
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    prefix = options.pop("global_keyprefix", "") if kind == REDIS else ""
    checks: bool | None = True
    ca = None
    if is_encrypted:
        ca = options.pop("ssl_ca_certs", None)
        checks = _CHECKS_CERTIFICATE.get(options.pop("ssl_cert_reqs", "required"))
    if options or checks is None or ca == "":
        raise ValueError(form)
    return CeleryServer(
        kind=kind,
        host=host,
        port=port or PORTS[parts.scheme],
        path=_path(parts, kind, form),
        user=unquote(parts.username) if parts.username else None,
        password=unquote(parts.password) if parts.password else None,
        is_encrypted=is_encrypted,
        checks_certificate=checks,
        ca=ca,
        key_prefix=prefix,
    )


def _path(parts: SplitResult, kind: str, form: str) -> str:
    """Return the database of Redis, or the virtual host, as Celery reads them."""
    path = unquote(parts.path[1:])
    if kind == AMQP:
        return path or "/"
    database = path or "0"
    if not (database.isascii() and database.isdigit() and len(database) < 5):
        raise ValueError(form)
    return database
