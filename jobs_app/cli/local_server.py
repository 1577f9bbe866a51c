"""The server on this machine: its data directory, and who listens on its port.

The admin's token is for the server of its owner only.
"""

import os
import socket
import sys
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path

LISTEN = "0A"

Address = IPv4Address | IPv6Address


def data_dir() -> Path:
    """Return JOBS_DATA_DIR, or its default."""
    # Not read through Settings: pydantic alone takes longer than a whole answer of the server.
    if named := os.environ.get("JOBS_DATA_DIR"):
        return Path(named)
    import platformdirs

    return Path(platformdirs.user_data_dir("jobs-app"))


def listener_uids(host: str, port: int) -> set[int] | None:
    """Return the users whose sockets accept connections to *host* and *port* on this machine.

    Empty if nobody listens here, or *host* is no address of this machine; None where the
    system does not tell (it is not Linux).
    """
    tables = [path for path in map(Path, ("/proc/net/tcp", "/proc/net/tcp6")) if path.exists()]
    if not tables:
        return None
    targets = set(_addresses(host))
    return {
        uid
        for table in tables
        for address, listening_port, uid in _listeners(table)
        if listening_port == port and (address.is_unspecified or address in targets)
    }


def _addresses(host: str) -> Iterator[Address]:
    try:
        infos = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return
    for info in infos:
        yield ip_address(str(info[4][0]).partition("%")[0])


def _listeners(table: Path) -> Iterator[tuple[Address, int, int]]:
    """Yield address, port and user of each listening socket, as proc_pid_net(5) has them."""
    for line in table.read_text().splitlines()[1:]:
        fields = line.split()
        if fields[3] == LISTEN:
            address, _, port = fields[1].partition(":")
            yield _parsed(address), int(port, 16), int(fields[7])


def _parsed(text: str) -> Address:
    # Words of four bytes, each in the byte order of the machine.
    data = bytes.fromhex(text)
    words = [data[start : start + 4] for start in range(0, len(data), 4)]
    if sys.byteorder == "little":
        words = [word[::-1] for word in words]
    address = ip_address(b"".join(words))
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address
