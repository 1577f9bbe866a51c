"""The server part of a URL: host and port, and why no client can open it."""

import re
import socket
from contextlib import suppress
from ipaddress import ip_address

#: Why a host is refused, after "The URL" or "The argument 'url'".
HOST_FAULT = (
    "must have a valid host: an IP address, or a name of letters, digits, '.', '-' and '_'."
)
PORT_FAULT = "must have a port from 1 to 65535."
CONTROL_FAULT = "must have no control characters."

MAX_NAME_LENGTH = 253
MAX_PORT = 65_535

_AUTHORITY = re.compile(r"[^/?#]*//([^/?#]*)")
_SERVER = re.compile(r"(\[[^\]]*\]|[^:]*)(?::(.*))?", re.DOTALL)
_LABEL = re.compile(r"[a-z0-9_-]{1,63}", re.IGNORECASE | re.ASCII)
_ZONE = re.compile(r"[\w.%-]+", re.ASCII)


def server_fault(url: str, *, may_be_several: bool = False) -> str | None:
    """Return why no client can open the server of *url*; None if there is no such reason.

    *may_be_several* allows several servers with commas between them. A server without a host
    passes: each kind of URL has a rule of its own for it. The sentence repeats no part of the
    URL, which may be a secret.
    """
    if re.search(r"[\x00-\x1f\x7f]", url):
        return CONTROL_FAULT
    servers = _servers(url)
    for server in servers.split(",") if may_be_several else [servers]:
        parts = _SERVER.fullmatch(server)
        if parts is None or not _is_host(parts[1]):
            return HOST_FAULT
    return port_fault(url, may_be_several=may_be_several)


def port_fault(url: str, *, may_be_several: bool = False) -> str | None:
    """Return why a port of *url*, as it is written, is none; None if each is one or missing."""
    servers = _servers(url)
    for server in servers.split(",") if may_be_several else [servers]:
        parts = _SERVER.fullmatch(server)
        if parts and parts[2] and not _is_port(parts[2]):
            return PORT_FAULT
    return None


def _servers(url: str) -> str:
    authority = _AUTHORITY.match(url)
    return authority.group(1).rpartition("@")[2] if authority else ""


def _is_host(text: str) -> bool:
    if text.startswith("["):
        address, _, zone = text[1:-1].partition("%")
        return _is_address(address) and ":" in address and (not zone or bool(_ZONE.fullmatch(zone)))
    return not text or _is_name(text)


def _is_name(host: str) -> bool:
    """Tell whether *host* can be a name in DNS or an IPv4 address (RFC 1123 §2.1, RFC 5891).

    Underscores are allowed: names of containers have them.
    """
    try:
        name = host if host.isascii() else host.encode("idna").decode()
    except UnicodeError:
        return False
    labels = name.removesuffix(".").split(".")
    if len(name) > MAX_NAME_LENGTH + 1 or not all(map(_is_label, labels)):
        return False
    if not labels[-1].isdigit():
        return True
    # As in browsers: a host that ends in a number is an IPv4 address.
    with suppress(OSError):
        return bool(socket.inet_aton(name))
    return False


def _is_label(label: str) -> bool:
    if not _LABEL.fullmatch(label):
        return False
    if not label.lower().startswith("xn--"):
        return True
    try:
        return bool(label[4:].encode().decode("punycode"))
    except UnicodeError:
        return False


def _is_address(text: str) -> bool:
    with suppress(ValueError):
        return bool(ip_address(text))
    return False


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 10 and 0 < int(text) <= MAX_PORT
