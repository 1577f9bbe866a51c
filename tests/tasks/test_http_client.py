"""No error of a library passes the client, whatever a request or a server is like."""

import asyncio
import socket
import threading

import httpx
import pytest

from jobs_app.tasks.http_client import Answer, send
from jobs_app.tasks.http_errors import NoAnswer
from jobs_app.tasks.http_request import Request
from jobs_app.tasks.network_policy import NetworkPolicy


def sent(url: str, headers: dict[str, str]) -> Answer:
    request = Request("POST", httpx.URL(url), httpx.Headers(headers), b"abcdef")
    timeout = httpx.Timeout(20)
    policy = NetworkPolicy(allows_private=True)
    return asyncio.run(send(request, policy, timeout=timeout, limit_bytes=1000))


def answering(answer: bytes) -> str:
    """Return the URL of a server that gives *answer* to one request."""
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]

    def serve() -> None:
        with listener, listener.accept()[0] as connection:
            connection.recv(65_536)
            connection.sendall(answer)

    threading.Thread(target=serve, daemon=True).start()
    return f"http://127.0.0.1:{port}/"


@pytest.mark.parametrize(
    "headers", [{"Content-Length": "3"}, {"X": "a\nb"}, {"X": " a"}, {"X Y": "a"}]
)
def test_a_request_that_breaks_the_rules_is_an_error_that_lasts(headers):
    with pytest.raises(NoAnswer, match="rules of HTTP") as failure:
        sent(answering(b""), headers)

    assert not failure.value.may_pass


def test_a_port_out_of_range_is_an_error_that_lasts():
    with pytest.raises(NoAnswer, match="cannot be sent") as failure:
        sent("http://127.0.0.1:70000/", {})

    assert not failure.value.may_pass


@pytest.mark.parametrize(
    "answer",
    [
        *(b"", b"SSH-2.0-OpenSSH_9.2\r\n", b"HTTP/1.1 99 No\r\n\r\n", b"\x00" * 100),
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    ],
)
def test_a_broken_answer_is_an_error_that_may_pass(answer):
    with pytest.raises(NoAnswer, match="the connection broke") as failure:
        sent(answering(answer), {})

    assert failure.value.may_pass


@pytest.mark.parametrize(
    "location",
    ["mailto:a@b", "javascript:alert(1)", "http://[::1", "http:ok", "http://0177.0.0.1/"],
)
def test_a_redirect_that_cannot_be_called_is_an_answer(location):
    url = answering(
        f"HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n".encode()
    )

    answer = sent(url, {})

    assert (answer.status, answer.headers["location"]) == (302, location)


def test_plain_http_on_a_tls_port_is_an_error():
    url = answering(b"HTTP/1.1 400 Bad Request\r\n\r\n").replace("http:", "https:")

    with pytest.raises(NoAnswer):
        sent(url, {})
