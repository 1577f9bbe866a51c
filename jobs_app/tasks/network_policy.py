"""Which network addresses a job may call, so that no job opens the worker's own network."""

import asyncio
import socket
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from jobs_app.core.network_allowlist import Exemption, OwnServer
from jobs_app.tasks.context import HttpFailed

Address = IPv4Address | IPv6Address

# Where clouds keep the credentials of a machine, apart from the link-local 169.254.169.254.
METADATA = frozenset(map(ip_address, ("100.100.100.200", "fd00:ec2::254")))
NOWHERE = tuple(map(ip_network, ("0.0.0.0/8", "240.0.0.0/4", "::/128")))
NAT64 = ip_network("64:ff9b::/96")
# Of these we cannot know what they lead to: their owner chooses where the IPv4 address stands.
LOCAL_NAT64 = ip_network("64:ff9b:1::/48")
V4_COMPATIBLE = ip_network("::/96")
ISATAP = 0x00005EFE


def refusal(
    address: Address,
    *,
    allows_private: bool,
    host: str = "",
    port: int = 0,
    allowed: tuple[Exemption, ...] | None = None,
) -> str | None:
    """Return what is wrong with calling *address* of *host*, None if nothing is.

    Link-local, metadata, multicast and unusable addresses are refused even where private
    ones are allowed; only an exemption that names the one address lets one through. IPv6
    forms that carry an IPv4 address are judged by that too. *allowed* is None for callers
    that know no exemptions.
    """
    for form in (address, *_carried(address)):
        covering = [each for each in allowed or () if each.covers(host, port, form)]
        if any(each.is_one_address for each in covering):
            continue
        is_nowhere = any(form in net for net in NOWHERE if net.version == form.version)
        if form.is_link_local or form in METADATA:
            rule = "never allowed"
            if allowed is not None:
                rule = "allowed only if JOBS_HTTP_ALLOW has this very address"
            return f"a link-local or metadata address, {rule}"
        if form.is_multicast or is_nowhere:
            return "not the address of one machine"
        is_private = not form.is_global or form in LOCAL_NAT64
        if is_private and not allows_private and not covering:
            settings = "JOBS_HTTP_ALLOW or " if allowed is not None else ""
            settings += "JOBS_ALLOW_PRIVATE_ADDRESSES"
            return f"a private or loopback address, allowed only by {settings}"
    return None


def own_server(
    address: Address,
    server: OwnServer,
    theirs: Iterable[Address],
    *,
    host: str,
    allowed: tuple[Exemption, ...],
) -> str | None:
    """Return what is wrong with calling *address* on the port of *server*, None if nothing is.

    *theirs* are the addresses of the server. One on this machine may be reached by each
    address of the machine. Only an exemption that says host and port lets it be called.
    """
    theirs, forms = set(theirs), [address, *_carried(address)]
    is_it = any(form in theirs for form in forms) or (
        any(map(_is_here, theirs)) and any(map(_is_here, forms))
    )
    is_meant = any(
        each.port == server.port and each.covers(host, server.port, form)
        for each in allowed
        for form in forms
    )
    if not is_it or is_meant:
        return None
    return (
        f"jobs-app's own server of {server.setting}, allowed only by JOBS_HTTP_ALLOW "
        "with its host and port"
    )


def _is_here(address: Address) -> bool:
    """Tell whether an address is one of this machine."""
    if address.is_loopback:
        return True
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((str(address), 0))
    except OSError:
        return False
    return True


def _carried(address: Address) -> list[IPv4Address]:
    """Return the IPv4 addresses that an IPv6 one leads to."""
    return [] if isinstance(address, IPv4Address) else list(_forms(address))


def _forms(address: IPv6Address) -> Iterator[IPv4Address]:
    last = IPv4Address(int(address) & 0xFFFFFFFF)
    if address.ipv4_mapped is not None:
        yield address.ipv4_mapped
    if address.sixtofour is not None:
        yield address.sixtofour
    yield from address.teredo or ()
    is_compatible = address in V4_COMPATIBLE and int(address) > 1
    is_isatap = (int(address) >> 32) & 0xFDFFFFFF == ISATAP
    if address in NAT64 or is_compatible or is_isatap:
        yield last


async def checked_addresses(
    host: str,
    port: int,
    *,
    allows_private: bool,
    allowed: tuple[Exemption, ...] | None = None,
    own: Iterable[OwnServer] = (),
) -> list[Address]:
    """Return the addresses of *host*, to be called as they are: a second look-up may differ.

    Raises HttpFailed if there is none, or if even one of them is refused.
    """
    addresses = await asyncio.wrap_future(_look_up(host, port))
    for address in addresses:
        reason = refusal(
            address, allows_private=allows_private, host=host, port=port, allowed=allowed
        )
        if reason is not None:
            which = "it" if host == str(address) else str(address)
            raise HttpFailed(f"{host} may not be called: {which} is {reason}.")
    for server in own:
        if server.port == port:
            theirs = await asyncio.wrap_future(_look_up(server.host, port))
            for address in addresses:
                reason = own_server(address, server, theirs, host=host, allowed=allowed or ())
                if reason is not None:
                    raise HttpFailed(f"{host} may not be called: it is {reason}.")
    return addresses


def _look_up(host: str, port: int) -> Future[list[Address]]:
    """Look *host* up in a thread that nobody waits for: a name server may hang for minutes."""
    found: Future[list[Address]] = Future()

    def look() -> None:
        try:
            infos = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            addresses = [ip_address(info[4][0]) for info in infos]
        except (OSError, ValueError) as error:
            found.set_exception(HttpFailed(f"{host} cannot be found: {error}.", may_pass=True))
        else:
            found.set_result(list(dict.fromkeys(addresses)))

    threading.Thread(target=look, name="look-up", daemon=True).start()
    return found
