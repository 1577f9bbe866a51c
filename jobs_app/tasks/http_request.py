"""Requests to HTTP servers: their URLs, and the requests that redirects ask for."""

from dataclasses import dataclass, replace

from jobs_app.core.httpx_library import httpx
from jobs_app.core.url_server import port_fault, server_fault
from jobs_app.tasks.context import HttpFailed

# Headers that follow a redirect to another site: others may hold secrets for the first site.
PORTABLE_HEADERS = ("accept", "accept-encoding", "accept-language", "content-type", "user-agent")


@dataclass(frozen=True, slots=True)
class Request:
    """A request to a server."""

    method: str
    url: httpx.URL
    headers: httpx.Headers
    content: bytes | None

    @property
    def public_url(self) -> str:
        """The URL without user, password and query, which may hold secrets."""
        return str(self.url.copy_with(userinfo=b"", query=None, fragment=None))

    def redirected(self, status: int, location: str) -> "Request":
        """Return the request that a redirect asks for; raises HttpFailed if it is refused."""
        try:
            url = checked_url(location, base=self.url)
        except HttpFailed as error:
            fault = f"{error.detail[0].lower()}{error.detail[1:]}"
            raise HttpFailed(f"{self.public_url} redirects to another address: {fault}") from error
        if self.url.scheme == "https" and url.scheme == "http":
            raise HttpFailed(
                f"{self.public_url} redirects from https to http, which is not followed."
            )
        headers = httpx.Headers(self.headers)
        is_same_site = _site(url) == _site(self.url)
        if is_same_site:
            url = url.copy_with(userinfo=self.url.userinfo)
        else:
            url = url.copy_with(userinfo=b"")
            headers = httpx.Headers({k: v for k, v in headers.items() if k in PORTABLE_HEADERS})
        # As in browsers: only 307 and 308 repeat the method and the body.
        if status == 303 or (status in (301, 302) and self.method == "POST"):
            headers.pop("content-type", None)
            method = "HEAD" if self.method == "HEAD" else "GET"
            return Request(method, url, headers, None)
        return replace(self, url=url, headers=headers)


@dataclass(frozen=True, slots=True)
class Redirect:
    """An answer that leads to another address: its status, the request, and the next one."""

    status: int
    request: Request
    next_request: Request

    def __str__(self) -> str:
        """Return the redirect on one line, as in `POST http://a/b -> 302 to GET http://a/c`."""
        before, after = self.request, self.next_request
        return (
            f"{before.method} {before.public_url} -> {self.status}"
            f" to {after.method} {after.public_url}"
        )


def checked_url(text: str, *, base: httpx.URL | None = None) -> httpx.URL:
    """Return *text* as a URL that can be called; raises HttpFailed.

    It may be relative to *base*.
    """
    if text != text.strip():
        raise HttpFailed("The URL must not begin or end with a space.")
    try:
        url = httpx.URL(text) if base is None else base.join(text)
        has_host = bool(url.host)
    except (httpx.InvalidURL, ValueError) as error:
        raise HttpFailed("The URL cannot be read.") from error
    if url.scheme not in ("http", "https") or not has_host:
        raise HttpFailed("The URL must begin with http:// or https:// and name a host.")
    # The text too: httpx reads ports such as `+80`, and encodes a space of the host.
    if fault := port_fault(text) or server_fault(str(url)):
        raise HttpFailed(f"The URL {fault}")
    return url


def port_of(url: httpx.URL) -> int:
    """Return the port of *url*, or the usual one of its scheme."""
    if url.port is not None:
        return url.port
    return 443 if url.scheme == "https" else 80


def _site(url: httpx.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port
