"""The allowlist of JOBS_HTTP_ALLOW: private addresses that http tasks may call."""

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network


@dataclass(frozen=True, slots=True)
class AllowlistEntry:
    """An entry of JOBS_HTTP_ALLOW: a host by name or a network, on one port or all."""

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
    """Return the entries of JOBS_HTTP_ALLOW; raises ValueError, which names the invalid one."""
    return tuple(_entry(part.strip()) for part in text.split(",") if part.strip())


def _entry(text: str) -> AllowlistEntry:
    try:
        return AllowlistEntry(None, ip_network(text), None)
    except ValueError:
        pass
    head, colon, tail = text.rpartition(":")
    port = int(tail) if colon and tail.isascii() and tail.isdigit() else None
    host = (head if colon else text).rstrip(".").lower()
    is_bracketed = host.startswith("[") and host.endswith("]")
    try:
        return AllowlistEntry(None, ip_network(host[1:-1] if is_bracketed else host), port)
    except ValueError:
        pass
    labels = host.removeprefix("*.").split(".")
    is_name = all(label and label.replace("-", "a").replace("_", "a").isalnum() for label in labels)
    if not is_name or labels[-1].isdigit() or (colon and (port is None or not 0 < port < 65_536)):
        raise ValueError(
            f"{text!r} is no host, address or network, as in "
            "intranet.example, *.corp.example, localhost:8080, 10.0.0.0/8"
        )
    return AllowlistEntry(host, None, port)
