"""Surroundings that let others in: refused at the start, or named in a warning."""

import ipaddress
import socket
from urllib.parse import parse_qs, urlsplit

from jobs_app.core.errors import ConfigurationError
from jobs_app.core.settings import Settings


def is_loopback(host: str) -> bool:
    """Return whether only this machine can connect to a server that listens on *host*."""
    try:
        infos = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM) if host else []
    except (OSError, UnicodeError):
        return False
    addresses = [ipaddress.ip_address(str(info[4][0]).partition("%")[0]) for info in infos]
    return bool(addresses) and all(address.is_loopback for address in addresses)


def check_host(settings: Settings) -> None:
    """Raise ConfigurationError if the web server would be open to the network unprotected."""
    if not settings.plain_http and not is_loopback(settings.host):
        raise ConfigurationError(
            f"JOBS_HOST {settings.host or '(empty)'} lets other machines connect, and the web "
            "server speaks plain HTTP: whoever reads it has the tokens. Use 127.0.0.1 with a "
            "TLS proxy before it, or set JOBS_PLAIN_HTTP=true where a proxy or the network of a "
            "container protects it."
        )


def is_redis_open(settings: Settings) -> bool:
    """Return whether whoever reaches Redis by the network may use it, as its URL has it."""
    url = urlsplit(settings.effective_redis_url)
    options = parse_qs(url.query)
    has_password = url.password or options.get("password") or options.get("ssl_certfile")
    return url.scheme != "unix" and not has_password


def redis_warnings(settings: Settings, *, eviction_policy: str | None) -> list[str]:
    """Return what is not safe about Redis, whose `maxmemory-policy` is known or None."""
    warnings = []
    url = urlsplit(settings.effective_redis_url)
    if settings.redis_url is None and url.scheme != "unix":
        warnings.append(
            "The embedded Valkey listens on TCP, on loopback: the path of its socket is too long "
            "for the system. A shorter JOBS_DATA_DIR avoids that."
        )
    if is_redis_open(settings):
        warnings.append(
            "JOBS_REDIS_URL has no password: whoever reaches Redis can delete and forge messages."
        )
    if eviction_policy not in (None, "noeviction"):
        warnings.append(
            f"Redis may drop keys when it is full (maxmemory-policy {eviction_policy}): "
            "set it to noeviction."
        )
    return warnings
