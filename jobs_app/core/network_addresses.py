"""Kinds of network addresses, by lists of our own.

The lists of Python's ipaddress differ between its releases: CVE-2024-4032. The sources are
IANA's registries of special-purpose addresses (RFC 6890) and the documentation of clouds.
"""

from collections.abc import Iterable, Iterator
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)

Address = IPv4Address | IPv6Address

LINK_LOCAL = tuple(map(ip_network, ("169.254.0.0/16", "fe80::/10")))
# Metadata services, where clouds keep the credentials of a machine. Most of them are
# 169.254.169.254, which is link-local.
METADATA = tuple(
    map(
        ip_network,
        (
            "100.100.100.200",  # Alibaba
            "168.63.129.16",  # Azure
            "192.0.0.192",  # Oracle
            "fd00:c1::a9fe:a9fe",  # Oracle
            "fd00:ec2::/32",  # Amazon, with its name and time servers
            "fd20:ce::254",  # Google
            "fd00:42::42",  # Scaleway
            "fd00:a9fe:a9fe::1",  # Akamai
        ),
    )
)
# Translators with a prefix of their own (RFC 6052) have the IPv4 address at the end.
METADATA_ENDINGS = frozenset(
    int(ip_address(text))
    for text in ("169.254.169.254", "169.254.170.2", "100.100.100.200", "168.63.129.16")
)
NOWHERE = tuple(map(ip_network, ("0.0.0.0/8", "240.0.0.0/4", "::/128", "224.0.0.0/4", "ff00::/8")))
PRIVATE = tuple(
    map(
        ip_network,
        (
            *("10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "172.16.0.0/12", "192.0.0.0/24"),
            *("192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15"),
            *("198.51.100.0/24", "203.0.113.0/24", "2001::/23", "2001:db8::/32", "3fff::/20"),
        ),
    )
)
# All other IPv6 addresses are reserved or local.
GLOBAL_UNICAST = IPv6Network("2000::/3")
NAT64 = IPv6Network("64:ff9b::/96")
# Its owner chooses where the IPv4 address stands, so we cannot know the destination.
LOCAL_NAT64 = IPv6Network("64:ff9b:1::/48")
V4_MAPPED = IPv6Network("::ffff:0:0/96")
V4_TRANSLATED = IPv6Network("::ffff:0:0:0/96")
V4_COMPATIBLE = IPv6Network("::/96")
ISATAP = 0x00005EFE
#: The lengths of prefixes within LOCAL_NAT64, in bits. Bits 64 to 71 are no part of the IPv4
#: address behind the prefix (RFC 6052 §2.2).
_SPLIT_PREFIXES = (48, 56, 64)


def is_metadata(address: Address) -> bool:
    """Return whether *address* is link-local or a metadata service, in one form or another."""
    if _is_in(address, (*LINK_LOCAL, *METADATA)):
        return True
    if isinstance(address, IPv4Address):
        return False
    if int(address) & 0xFFFFFFFF in METADATA_ENDINGS:
        return True
    return address in LOCAL_NAT64 and any(is_metadata(form) for form in _translated_ipv4(address))


def is_nowhere(address: Address) -> bool:
    """Return whether *address* is that of many machines, or of none."""
    return _is_in(address, NOWHERE)


def is_private(address: Address) -> bool:
    """Return whether *address* is not one of the public internet."""
    if _is_in(address, PRIVATE):
        return True
    if isinstance(address, IPv4Address):
        return False
    if address in V4_MAPPED:
        return is_private(IPv4Address(int(address) & 0xFFFFFFFF))
    return address not in GLOBAL_UNICAST and address not in NAT64


def embedded_ipv4(address: Address) -> Iterator[IPv4Address]:
    """Yield the IPv4 addresses that an IPv6 address leads to."""
    if isinstance(address, IPv4Address):
        return
    if address.sixtofour is not None:
        yield address.sixtofour
    yield from address.teredo or ()
    is_compatible = address in V4_COMPATIBLE and int(address) > 1
    is_isatap = (int(address) >> 32) & 0xFDFFFFFF == ISATAP
    is_translated = any(address in net for net in (NAT64, V4_MAPPED, V4_TRANSLATED))
    if is_translated or is_compatible or is_isatap:
        yield IPv4Address(int(address) & 0xFFFFFFFF)


def _translated_ipv4(address: IPv6Address) -> Iterator[IPv4Address]:
    """Yield the IPv4 address for each length of prefix that a translator may have."""
    yield IPv4Address(int(address) & 0xFFFFFFFF)
    number = int(address)
    upper, lower = number >> 64, number & ((1 << 56) - 1)
    joined = upper << 56 | lower
    for length in _SPLIT_PREFIXES:
        yield IPv4Address(joined >> (120 - length - 32) & 0xFFFFFFFF)


def _is_in(address: Address, networks: Iterable[IPv4Network | IPv6Network]) -> bool:
    return any(net.version == address.version and address in net for net in networks)
