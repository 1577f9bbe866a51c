"""A client of the HTTP API whose errors are sentences with an exit code."""

import os
import re
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import click

from jobs_app import __version__
from jobs_app.cli.failure import (
    DOWN,
    EXIT_CODES,
    NO_SUCH,
    NOT_SIGNED_IN,
    USAGE,
    Failure,
    Unreachable,
    not_utf8,
)
from jobs_app.cli.local_server import data_dir, listener_uids
from jobs_app.cli.problem_text import name_hint, sentences
from jobs_app.core.url_server import port_fault, server_fault

if TYPE_CHECKING:
    import httpx

Json = dict[str, Any]

CONNECT_SECONDS = 5.0
ANSWER_SECONDS = 30.0
PAGE_SIZE = 100
MOST_NAMES = 500  # compared with a misspelt one
#: The key of a command's client.
CLIENT = __name__
PORTS = {"http": 80, "https": 443}
LOOPBACK = {"127.0.0.1", "localhost", "::1"}
ANY_ADDRESS = {"0.0.0.0", "::", ""}  # noqa: S104  # compared with, not bound to


@dataclass(frozen=True, slots=True)
class Answer:
    """A successful answer: its status, its text, and its ETag if it has one."""

    status: int
    text: str
    body: Any
    etag: str | None


def server_url() -> str:
    """Return JOBS_URL, or the address that JOBS_HOST and JOBS_PORT give on this machine.

    Raises Failure if one of them names no server.
    """
    if url := os.environ.get("JOBS_URL", "").strip():
        if not re.match(r"https?://[^/?#:@][^@]*\Z", url, re.IGNORECASE) or server_fault(url):
            raise Failure("JOBS_URL must be like http://127.0.0.1:5000, with no user.", USAGE)
        return url.rstrip("/")
    host = os.environ.get("JOBS_HOST", "")
    if host in ANY_ADDRESS:
        host = "127.0.0.1"
    port = os.environ.get("JOBS_PORT") or "5000"
    url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    if port_fault(f"//:{port}") or not port.isdigit():
        raise Failure(f"JOBS_PORT must be a number from 1 to 65535, not {port!r}.", USAGE)
    if re.search(r"[/?#@]", host) or server_fault(url):
        raise Failure(f"JOBS_HOST must be a host, not {host!r}.", USAGE)
    return url


def bearer_token(url: str) -> str | None:
    """Return JOBS_TOKEN, else this machine's admin token if *url* is on this machine, else None.

    The admin token is never offered to another host, nor to the server of another user, for
    which it raises Failure.
    """
    if token := os.environ.get("JOBS_TOKEN", "").strip():
        if not token.isascii() or not token.isprintable():
            raise Failure("JOBS_TOKEN has characters that no token has.", NOT_SIGNED_IN)
        return token
    parts = urlsplit(url)
    if parts.hostname not in LOOPBACK | {os.environ.get("JOBS_HOST")}:
        return None
    file = data_dir() / "admin-token"
    try:
        token, owner = file.read_text().strip(), file.stat().st_uid
    except OSError:
        return None
    uids = listener_uids(parts.hostname or "", parts.port or PORTS[parts.scheme])
    if uids is not None and (foreign := uids - {owner, 0}):
        raise Failure(
            f"The server at {url} belongs to another user (uid {min(foreign)}), and does not get "
            f"the token in {file}: set JOBS_URL or JOBS_PORT to yours, or JOBS_TOKEN.",
            NOT_SIGNED_IN,
        )
    # Nobody listens: the one who begins to just now is not to get it either.
    return token or None if uids is None or uids else None


class Client:
    """The API of the server that the environment names, with one connection kept open.

    Raises Failure if JOBS_URL is no URL of a server.
    """

    def __init__(
        self, *, connect_seconds: float = CONNECT_SECONDS, answer_seconds: float = ANSWER_SECONDS
    ) -> None:
        # httpx takes 0.2 s to import, which --help and --version need not pay.
        from jobs_app.core.httpx_library import httpx

        self.url = server_url()
        address = urlsplit(self.url)
        token = bearer_token(self.url)
        self._http = httpx.Client(
            timeout=httpx.Timeout(answer_seconds, connect=connect_seconds),
            headers={"User-Agent": f"jobs-app/{__version__}"}
            | ({"Authorization": f"Bearer {token}"} if token else {}),
            # A proxy for the outside world must not be asked for this very machine.
            trust_env=address.hostname not in LOOPBACK,
            # Without TLS the certificates of all authorities need not be read.
            verify=address.scheme == "https",
        )

    def close(self) -> None:
        """Close the connection."""
        self._http.close()

    def get(self, path: str, **params: object) -> Answer:
        """Read *path*, which is below /api/v1; parameters that are None are left out."""
        return self.send("GET", path, params=params)

    def read(self, path: str, **params: object) -> Json:
        """Return the body of *path*, read as `get` does."""
        body: Json = self.get(path, **params).body
        return body

    def post(self, path: str, body: object = None) -> Json:
        """Send *body* to *path* as `send` does, and return the body of the answer."""
        answer: Json = self.send("POST", path, body=body).body
        return answer

    def find(self, path: str) -> Answer | None:
        """Read *path* as `get` does; None if the server has nothing there."""
        try:
            return self.send("GET", path, hints=False)
        except Failure as failure:
            if failure.exit_code != NO_SUCH:
                raise
            return None

    def text(self, path: str, **params: object) -> str:
        """Read *path* as plain text; parameters that are None are left out."""
        return self.send("GET", path, params=params, accept="text/plain").text

    def send(
        self,
        method: str,
        path: str,
        *,
        body: object = None,
        params: Mapping[str, object] | None = None,
        if_match: str | None = None,
        accept: str = "application/json",
        hints: bool = True,
    ) -> Answer:
        """Send a request and return its answer; raise Failure unless it is a 2xx.

        With *hints*, the error for a name that does not exist suggests a similar one.

        A POST carries an Idempotency-Key: when its connection breaks, it is sent
        again, and takes effect once.
        """
        headers = {"Accept": accept}
        if if_match is not None:
            headers["If-Match"] = if_match
        if method == "POST":
            headers["Idempotency-Key"] = str(uuid.uuid4())
        response = self._exchange(method, f"/api/v1{path}", body, params, headers)
        if not response.is_success:
            raise self._failure(response, hints=hints)
        return self._answer(response)

    def lines(
        self, path: str, *, headers: Mapping[str, str], silence_seconds: float
    ) -> Iterator[str]:
        """Yield the lines of an event stream as they come, until the server closes it.

        Raises Failure as `send` does, and Unreachable if the stream breaks or is
        silent for longer than *silence_seconds*.
        """
        from jobs_app.core.httpx_library import httpx

        timeout = httpx.Timeout(CONNECT_SECONDS, read=silence_seconds)
        url = f"{self.url}/api/v1{path}"
        with (
            self._failures(),
            self._http.stream("GET", url, headers=headers, timeout=timeout) as response,
        ):
            if not response.is_success:
                response.read()
                raise self._failure(response)
            if response.headers.get("Content-Type", "").partition(";")[0] != "text/event-stream":
                raise self._not_ours(response)
            yield from response.iter_lines()

    def readiness(self) -> Answer:
        """Return the answer of /readyz, whatever its status is."""
        return self._answer(self._exchange("GET", "/readyz"))

    def page(self, path: str, *, limit: int | None, **params: object) -> Json:
        """Return the first *limit* items of a list (None: all) as one page of the API.

        `next_cursor` is None at the end of the list.
        """
        items: list[Json] = []
        cursor = None
        while True:
            size = PAGE_SIZE if limit is None else min(PAGE_SIZE, limit - len(items))
            answer = self.get(path, limit=size, cursor=cursor, **params).body
            items += answer["items"]
            cursor = answer["next_cursor"]
            if cursor is None or (limit is not None and len(items) >= limit):
                return {"items": items, "next_cursor": cursor}

    def _exchange(
        self,
        method: str,
        path: str,
        body: object = None,
        params: Mapping[str, object] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> "httpx.Response":
        from jobs_app.core.httpx_library import httpx

        present: Any = {name: value for name, value in (params or {}).items() if value is not None}
        with self._failures():
            try:
                request = self._http.build_request(
                    method,
                    self.url + path,
                    json=body,
                    params=present,
                    headers=headers,
                )
            except UnicodeEncodeError as error:
                raise not_utf8(error) from error
            except (ValueError, TypeError, RecursionError) as error:
                raise Failure(f"This cannot be sent as JSON: {error}.", USAGE) from error
            try:
                return self._http.send(request)
            except (httpx.ReadError, httpx.RemoteProtocolError, httpx.WriteError):
                return self._http.send(request)

    @contextmanager
    def _failures(self) -> Iterator[None]:
        """Turn each error of a connection into a Failure."""
        from jobs_app.core.httpx_library import httpx

        try:
            yield
        except httpx.InvalidURL as error:
            raise Failure(f"{self.url} is not a URL: {error}.", USAGE) from error
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise Unreachable(f"No server at {self.url}: is `jobs-app up` running?") from error
        except httpx.TimeoutException as error:
            raise Unreachable(f"The server at {self.url} did not answer in time.") from error
        except httpx.TransportError as error:
            raise Unreachable(f"The connection to {self.url} broke: {error}.") from error

    def _answer(self, response: "httpx.Response") -> Answer:
        body = None
        if response.content and _is_json(response):
            try:
                body = response.json()
            except ValueError as error:
                raise self._not_ours(response) from error
        return Answer(response.status_code, response.text, body, response.headers.get("ETag"))

    def _names(self, path: str) -> list[str]:
        """Return names in the list at *path*; none if it cannot be read."""
        try:
            return [str(item["name"]) for item in self.page(path, limit=MOST_NAMES)["items"]]
        except Failure:
            return []

    def _failure(self, response: "httpx.Response", *, hints: bool = True) -> Failure:
        """Return the problem that the server describes, with a line for each invalid field."""
        status = response.status_code
        problem = self._answer(response).body if _is_json(response) else None
        if not isinstance(problem, dict):
            return self._not_ours(response)
        lines = sentences(problem)
        if hints and status == 404:
            lines[0] += name_hint(response.request.url.path, self._names)
        if status == 401:
            lines.append("Set JOBS_TOKEN, or JOBS_DATA_DIR to where the file admin-token lies.")
        message = "\n".join(lines)
        if status >= 500:
            return Unreachable(message)
        failure = Failure(message, EXIT_CODES.get(status, USAGE))
        failure.problem = problem
        return failure

    def _not_ours(self, response: "httpx.Response") -> Failure:
        status = response.status_code
        if location := response.headers.get("Location"):
            return Failure(f"{self.url} redirects to {location}: set JOBS_URL to that.", DOWN)
        if status >= 500:
            return Unreachable(f"The server at {self.url} is in trouble (HTTP {status}).")
        return Failure(f"What answers at {self.url} is not jobs-app (HTTP {status}).", DOWN)


def _is_json(response: "httpx.Response") -> bool:
    media_type: str = response.headers.get("Content-Type", "").partition(";")[0].strip()
    return media_type == "application/json" or media_type.endswith("+json")


def connect() -> Client:
    """Return a client of the server that the environment names, closed when the command ends."""
    context = click.get_current_context()
    client = context.meta.get(CLIENT)
    if not isinstance(client, Client):
        client = context.meta[CLIENT] = Client()
        context.call_on_close(client.close)
    return client
