"""The header X-Forwarded-For, in which each proxy adds the address that called it."""

from contextlib import suppress
from ipaddress import ip_address


def last_hop(forwarded_for: str) -> str:
    """Return the last address in the header X-Forwarded-For, "unknown" if it is none.

    A port is left out, and an IPv6 address has brackets, as waitress reads it.
    """
    hop = forwarded_for.rpartition(",")[2].strip().strip('"')
    for text in (hop, hop.rpartition(":")[0]):
        with suppress(ValueError):
            address = ip_address(text.strip("[]"))
            return f"[{address}]" if address.version == 6 else str(address)
    return "unknown"
