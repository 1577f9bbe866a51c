"""Which network addresses a job may call, so that no job opens the worker's own network."""

import asyncio
import socket
import threading
from concurrent.futures import Future
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from jobs_app.context import HttpFailed

Address = IPv4Address | IPv6Address

# Where clouds keep the credentials of a machine, apart from the link-local 169.254.169.254.
METADATA = frozenset(map(ip_address, ("100.100.100.200", "fd00:ec2::254")))
NOWHERE = tuple(map(ip_network, ("0.0.0.0/8", "240.0.0.0/4", "::/128")))
NAT64 = ip_network("64:ff9b::/96")
V4_COMPATIBLE = ip_network("::/96")


def refusal(address: Address, *, allows_private: bool) -> str | None:
    """Return what is wrong with calling *address*, None if nothing is.

    Link-local, metadata, multicast and unusable addresses are refused even
    where private ones are allowed; IPv6 forms that carry an IPv4 address are
    judged by that too.
    """
    for form in (address, *_carried(address)):
        is_nowhere = any(form in net for net in NOWHERE if net.version == form.version)
        if form.is_link_local or form in METADATA:
            return "a link-local or metadata address, which is never allowed"
        if form.is_multicast or is_nowhere:
            return "not the address of one machine"
        if not form.is_global and not allows_private:
            return "a private or loopback address, allowed only with JOBS_ALLOW_PRIVATE_ADDRESSES"
    return None


def _carried(address: Address) -> list[IPv4Address]:
    """Return the IPv4 addresses that an IPv6 one leads to."""
    if isinstance(address, IPv4Address):
        return []
    carried = [address.ipv4_mapped, address.sixtofour, *(address.teredo or ())]
    if address in NAT64 or (address in V4_COMPATIBLE and int(address) > 1):
        carried.append(IPv4Address(int(address) & 0xFFFFFFFF))
    return [form for form in carried if form is not None]


async def checked_addresses(host: str, port: int, *, allows_private: bool) -> list[Address]:
    """Return the addresses of *host*, to be called as they are: a second look-up may differ.

    Raises HttpFailed if there is none, or if even one of them is refused.
    """
    addresses = await asyncio.wrap_future(_look_up(host, port))
    for address in addresses:
        reason = refusal(address, allows_private=allows_private)
        if reason is not None:
            raise HttpFailed(f"{host} may not be called: {address} is {reason}.")
    return addresses


def _look_up(host: str, port: int) -> Future[list[Address]]:
    """Look *host* up in a thread that nobody waits for: a name server may hang for minutes."""
    found: Future[list[Address]] = Future()

    def look() -> None:
        try:
            infos = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            addresses = [ip_address(info[4][0]) for info in infos]
        except (OSError, ValueError) as error:
            found.set_exception(HttpFailed(f"{host} cannot be found: {error}."))
        else:
            found.set_result(list(dict.fromkeys(addresses)))

    threading.Thread(target=look, name="look-up", daemon=True).start()
    return found
