"""The headers that a user may write by hand into a request."""

import re
from collections.abc import Iterator, Mapping

from jobs_app.tasks.context import HttpFailed
from jobs_app.tasks.http_request import checked_url

HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
#: RFC 9112 §6 and RFC 9110 §7.6.1: they describe the message and its connection, which
#: the HTTP client decides. A second, different one splits the request in two.
OWN_HEADERS = frozenset(
    {"connection", "content-length", "keep-alive", "proxy-connection", "te", "trailer"}
    | {"transfer-encoding", "upgrade"}
)


def name_fault(name: str) -> str | None:
    """Return why *name* is no header to write by hand, in words that follow it; None if it is."""
    if not HEADER_NAME.fullmatch(name):
        return "is no name of a header."
    if name.lower() in OWN_HEADERS:
        return "is a header that the HTTP client itself writes; leave it out."
    return None


def value_fault(value: str) -> str | None:
    """Return why *value* cannot be sent, in words that follow its header; None if it can."""
    if not value.isascii() or any(
        (char < " " and char != "\t") or char == "\x7f" for char in value
    ):
        return "has characters that HTTP does not allow."
    return None


def faults(headers: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield the headers that do not go together or have a wrong value, each with a sentence."""
    names: dict[str, str] = {}
    for name, value in headers.items():
        if (first := names.setdefault(name.lower(), name)) != name:
            yield name, f"The header {name!r} is there already, as {first!r}."
        if name.lower() == "host" and "${" not in value and not _is_host(value):
            yield name, "The header 'Host' must be a host, with a port if need be."


def _is_host(text: str) -> bool:
    """Return whether *text* is a host with or without a port (RFC 9110 §7.2)."""
    if not text.strip() or re.search(r"[\s/?#@\\]", text.strip()):
        return False
    try:
        checked_url(f"http://{text.strip()}/")
    except HttpFailed:
        return False
    return True
