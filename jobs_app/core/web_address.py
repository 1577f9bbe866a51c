"""The address of the web server, for people."""

import ipaddress
from urllib.parse import urlsplit

from jobs_app.core.settings import Settings


def connect_host(host: str) -> str:
    """Return the host to connect to for a server that listens on *host*."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(host, host)  # noqa: S104 (compared with, not bound to)


def local_address(settings: Settings) -> str:
    """Return the address for this machine, without a slash at its end."""
    host = connect_host(settings.host)
    return f"http://{f'[{host}]' if ':' in host else host}:{settings.port}"


def public_address(settings: Settings) -> str:
    """Return the address for everybody, without a slash at its end."""
    return (settings.public_url or local_address(settings)).rstrip("/")


def is_local_http(url: str | None) -> bool:
    """Return whether *url* is plain http to an address that only this machine reaches.

    No name but `localhost` is looked up.
    """
    parts = urlsplit(url or "")
    host = parts.hostname or ""
    try:
        is_loopback = ipaddress.ip_address(host).is_loopback
    except ValueError:
        is_loopback = host == "localhost"
    return is_loopback and parts.scheme.lower() == "http"


def link_address(settings: Settings, key: str) -> str:
    """Return the address of the link with this key."""
    return f"{public_address(settings)}/links/{key}"
