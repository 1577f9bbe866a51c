"""The address that a request came from, and whether that is this machine."""

import ipaddress
import re

from flask import request

#: A longer address is cut, characters. An IPv6 address with a zone has 60.
MAX_ADDRESS_CHARS = 64

#: Host names of this machine for its own browsers; another name may be DNS rebinding.
LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})

_NOT_IN_ADDRESS = re.compile(r"[^0-9A-Za-z.:%_-]")


def remote_address() -> str | None:
    """Return the address that the request came from, fit for the log and the database.

    From the proxy of JOBS_TRUSTED_PROXY, it is the last one in X-Forwarded-For.
    """
    text = _NOT_IN_ADDRESS.sub("?", request.remote_addr or "")
    return text[:MAX_ADDRESS_CHARS] or None


def is_loopback_name() -> bool:
    """Tell whether the request was sent to a name of this machine."""
    return request.host.rpartition(":")[0] in LOOPBACK_NAMES or request.host in LOOPBACK_NAMES


def is_loopback_address() -> bool:
    """Tell whether the request came from this machine, or from a proxy on it."""
    try:
        return ipaddress.ip_address(request.remote_addr or "").is_loopback
    except ValueError:
        return False
