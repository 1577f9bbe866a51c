"""The allowlists of JOBS_HTTP_ALLOW and JOBS_CELERY_ALLOW: private addresses for tasks."""

import re
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network

from jobs_app.core.url_server import MAX_PORT

_HOST_AND_PORT = re.compile(
    r"(?:\[(?P<v6>[^\]]*:[^\]]*)\]|(?P<host>[^:\[\]]+))(?::(?P<port>[0-9]{1,5}))?"
)


@dataclass(frozen=True, slots=True)
class AllowlistEntry:
    """An entry of an allowlist: a host by name or a network, on one port or all."""

    host: str | None
    network: IPv4Network | IPv6Network | None
    port: int | None

    def covers(self, host: str, port: int, form: IPv4Address | IPv6Address) -> bool:
        """Return whether this entry allows *form*, an address of *host*, on *port*."""
        if self.port is not None and self.port != port:
            return False
        if self.network is not None:
            return self.network.version == form.version and form in self.network
        name = host.rstrip(".").lower()
        if self.host is not None and self.host.startswith("*."):
            return name.endswith(self.host[1:])
        return name == self.host

    @property
    def is_one_address(self) -> bool:
        """Whether the entry names one address and nothing else."""
        return self.network is not None and self.network.num_addresses == 1


@dataclass(frozen=True, slots=True)
class OwnServer:
    """A server that jobs-app itself uses, and the setting that names it."""

    setting: str
    host: str
    port: int


def parse_allowlist(text: str) -> tuple[AllowlistEntry, ...]:
    """Return the entries of an allowlist; raises ValueError, which names the invalid one."""
    return tuple(_entry(part.strip()) for part in text.split(",") if part.strip())


def _entry(text: str) -> AllowlistEntry:
    # First the whole: an IPv6 address without brackets has colons, and no port.
    if network := _network(text):
        return AllowlistEntry(None, network, None)
    parts = _HOST_AND_PORT.fullmatch(text)
    port = int(parts["port"]) if parts and parts["port"] else None
    if parts and (port is None or 0 < port <= MAX_PORT):
        if network := _network(parts["v6"] or parts["host"] or ""):
            return AllowlistEntry(None, network, port)
        if parts["host"] and _is_name(parts["host"]):
            return AllowlistEntry(parts["host"].rstrip(".").lower(), None, port)
    # A user and a password are not repeated.
    shown = "an entry with @" if "@" in text else repr(text)
    raise ValueError(
        f"{shown} is no host, address or network, as in "
        "intranet.example, *.corp.example, localhost:8080, 10.0.0.0/8, [fd00::1]:443"
    )


def _network(text: str) -> IPv4Network | IPv6Network | None:
    with suppress(ValueError):
        return ip_network(text)
    return None


def _is_name(host: str) -> bool:
    labels = host.rstrip(".").removeprefix("*.").split(".")
    is_name = all(label and label.replace("-", "a").replace("_", "a").isalnum() for label in labels)
    return is_name and not labels[-1].isdigit()
