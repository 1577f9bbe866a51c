"""The task `http` judges an answer, whatever a server does, and calls no forbidden address."""

import gc
import gzip
import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import pytest

import jobs_app
from jobs_app.core.states import CancelMode
from jobs_app.tasks import http_client, registry
from jobs_app.tasks.builtin.http import HttpResult, http
from jobs_app.tasks.context import Cancelled, HttpFailed, RunContext, TimedOut, current_run
from jobs_app.tasks.http_client import _common_context
from tests.factories import TASKS
from tests.running import Output, a_run

CERTIFICATE = Path(__file__).with_name("localhost.pem")


class Handler(BaseHTTPRequestHandler):
    """A server with a path for each behaviour."""

    protocol_version = "HTTP/1.1"
    server: "Server"

    def log_message(self, *_: object) -> None:
        pass

    def handle_one_request(self) -> None:
        with suppress(OSError):
            super().handle_one_request()
            return
        self.close_connection = True

    def answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self) -> None:
        size = int(self.headers.get("Content-Length", 0))
        seen = {
            "method": self.command,
            "path": self.path,
            "body": self.rfile.read(size).decode(),
            **{name.lower(): value for name, value in self.headers.items()},
        }
        self.server.seen.append(seen)
        kind, _, rest = self.path.lstrip("/").partition("/")
        if kind in ("busy", "broken", "json", "long"):
            self.answer_in_turn(kind, rest)
        elif kind == "status":
            self.answer(int(rest), b"body of it")
        elif kind == "redirect":
            status, _, location = rest.partition("/")
            self.answer(int(status), Location=location.replace("PORT", str(self.server.port)))
        elif kind == "loop":
            self.answer(302, Location="/loop")
        elif kind == "dribble":
            self.dribble(
                b"HTTP/1.1 200 OK\r\nX-Long: " if rest == "head" else b"HTTP/1.1 200 OK\r\n\r\n"
            )
        elif kind == "endless":
            self.send_response(200)
            self.end_headers()
            while True:
                self.wfile.write(b"x" * 65_536)
        elif kind == "bomb":
            self.answer(200, gzip.compress(b"0" * 50_000_000), Content_Encoding="gzip")
        elif kind == "packed":
            # /packed/gzip/<hex of the body>
            encoding, packed = rest.split("/")
            self.answer(200, bytes.fromhex(packed), Content_Encoding=encoding)
        elif kind == "latin":
            self.answer(200, b"gr\xfc\xdfe\x00", Content_Type="text/plain; charset=iso-8859-1")
        elif kind == "huge-head":
            self.answer(200, X_Huge="h" * 500_000)
        else:
            self.answer(200, json.dumps(seen).encode(), Content_Type="application/json", Etag='"1"')

    def answer_in_turn(self, kind: str, rest: str) -> None:
        if kind == "busy":
            # /busy/2/503/7: so often that status, with that Retry-After, and then well.
            times, status, *after = rest.split("/")
            is_busy = len(self.server.seen) <= int(times)
            headers = {"Retry_After": unquote(after[0])} if after else {}
            self.answer(int(status) if is_busy else 200, b"busy", **headers)
        elif kind == "broken" and len(self.server.seen) <= int(rest):
            self.close_connection = True
        elif kind == "broken":
            self.answer(200, b"mended")
        elif kind == "json":
            self.answer(200, unquote(rest).encode())
        else:
            self.answer(200, b"x" * int(rest))

    def __getattr__(self, name: str) -> Callable[[], None]:
        if name.startswith("do_"):
            return self.do_GET
        raise AttributeError(name)

    def dribble(self, start: bytes) -> None:
        self.wfile.write(start)
        while not self.server.is_over.wait(0.05):
            self.wfile.write(b"x")


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.seen: list[dict[str, str]] = []
        self.is_over = threading.Event()
        self.port = self.server_address[1]

    def handle_error(self, *_: object) -> None:
        pass

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


def serving(server: Server) -> Iterator[Server]:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield server
    server.is_over.set()
    server.shutdown()
    server.server_close()
    thread.join(10)


@pytest.fixture
def server() -> Iterator[Server]:
    yield from serving(Server())


@pytest.fixture
def tls_server() -> Iterator[Server]:
    server = Server()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE)
    server.socket = context.wrap_socket(
        server.socket, server_side=True, do_handshake_on_connect=False
    )
    yield from serving(server)


@pytest.fixture(autouse=True)
def _allows_private_addresses(monkeypatch):
    monkeypatch.setenv("JOBS_ALLOW_PRIVATE_ADDRESSES", "true")


@pytest.fixture(autouse=True)
def _fresh_trust() -> Iterator[None]:
    _common_context.cache_clear()
    yield
    _common_context.cache_clear()


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def call(url: str, context: RunContext | None = None, **kwargs: Any) -> HttpResult:
    token = current_run.set(context or a_run())
    try:
        return http.run(url, **kwargs)
    finally:
        current_run.reset(token)


def test_an_answer_is_returned_with_status_headers_and_body(server):
    result = call(f"{server.url}/echo")

    assert result["status"] == 200
    assert result["headers"]["content-type"] == "application/json"
    assert result["headers"]["etag"] == '"1"'
    assert json.loads(result["body"])["path"] == "/echo"
    assert (result["body_truncated"], result["redirects"]) == (False, 0)
    assert 0 < result["duration_seconds"] < 5


def test_the_request_says_who_sends_it_and_carries_the_runs_id(server):
    context = a_run()

    call(f"{server.url}/echo?q=1", context)

    assert server.seen[0]["user-agent"] == f"jobs-app/{jobs_app.__version__}"
    assert server.seen[0]["idempotency-key"] == str(context.run_id)
    assert server.seen[0]["host"] == f"127.0.0.1:{server.port}"
    assert server.seen[0]["path"] == "/echo?q=1"


def test_method_headers_and_body_are_sent_unchanged(server):
    call(f"{server.url}/echo", method="PUT", headers={"X-Mine": "1"}, body="größe")

    assert server.seen[0]["method"] == "PUT"
    assert server.seen[0]["x-mine"] == "1"
    assert server.seen[0]["body"] == "größe"


def test_json_is_sent_as_json(server):
    call(f"{server.url}/echo", method="POST", json={"a": [1, None]})

    assert json.loads(server.seen[0]["body"]) == {"a": [1, None]}
    assert server.seen[0]["content-type"] == "application/json"


def test_user_and_password_of_the_url_are_sent_but_not_shown(server):
    output = Output()

    call(f"http://me:secret@127.0.0.1:{server.port}/echo?key=secret", a_run(output))

    assert server.seen[0]["authorization"].startswith("Basic ")
    assert "secret" not in output.out
    assert "/echo -> 200" in output.out


@pytest.mark.parametrize("status", [201, 204, 299])
def test_any_2xx_is_a_success(server, status):
    assert call(f"{server.url}/status/{status}")["status"] == status


@pytest.mark.parametrize("status", [400, 404, 500, 503])
def test_another_status_fails_with_its_body_in_the_log(server, status):
    output = Output()

    with pytest.raises(HttpFailed, match=f"answered {status}; expected was 2xx"):
        call(f"{server.url}/status/{status}", a_run(output))

    assert "body of it" in output.out


def test_expect_status_decides_instead_of_2xx(server):
    assert call(f"{server.url}/status/404", expect_status=[404, 410])["status"] == 404
    assert call(f"{server.url}/redirect/302/x", expect_status=[302])["status"] == 302
    with pytest.raises(HttpFailed, match="expected was 404, 410"):
        call(f"{server.url}/status/200", expect_status=[404, 410])


def test_a_redirect_is_followed_and_counted(server):
    result = call(f"{server.url}/redirect/302//echo")

    assert (result["status"], result["redirects"]) == (200, 1)


@pytest.mark.parametrize(
    "status,method,body", [(303, "GET", ""), (302, "GET", ""), (307, "POST", "hello")]
)
def test_a_redirect_repeats_the_body_only_with_307_and_308(server, status, method, body):
    call(f"{server.url}/redirect/{status}//echo", method="POST", body="hello")

    assert (server.seen[1]["method"], server.seen[1]["body"]) == (method, body)


def test_a_redirect_to_another_site_takes_no_secrets_along(server):
    call(
        f"http://me:pw@127.0.0.1:{server.port}/redirect/307/http://localhost:PORT/echo",
        headers={"X-Api-Key": "secret", "Accept": "text/plain"},
    )

    assert server.seen[0]["x-api-key"] == "secret"
    assert server.seen[1]["host"] == f"localhost:{server.port}"
    assert server.seen[1]["accept"] == "text/plain"
    assert not {"x-api-key", "authorization"} & set(server.seen[1])


def test_a_run_names_the_address_that_answered_and_each_redirect(server):
    output = Output()

    result = call(
        f"{server.url}/redirect/307//redirect/302//echo?token=secret", a_run(output), method="POST"
    )

    start = f"{server.url}/redirect/307//redirect/302//echo"
    assert (result["method"], result["url"]) == ("GET", f"{server.url}/echo")
    assert result["redirects"] == 2
    assert result["redirected_by"][0] == {"status": 307, "method": "POST", "url": start}
    assert result["redirected_by"][1]["status"] == 302
    assert output.out.splitlines()[0].startswith(f"POST {start} -> 307 to POST ")
    assert f"/echo -> 302 to GET {server.url}/echo\n" in output.out
    assert f"GET {server.url}/echo -> 200 in " in output.out
    assert "secret" not in output.out + str(result["redirected_by"])


def test_an_error_names_the_address_that_answered(server):
    with pytest.raises(HttpFailed) as failure:
        call(f"{server.url}/redirect/302//status/404", method="POST")

    assert failure.value.detail == (
        f"{server.url}/status/404 (redirected from POST {server.url}/redirect/302//status/404,"
        " now as GET) answered 404; expected was 2xx."
    )


@pytest.mark.parametrize("location", ["/dribble/body", "/loop"])
def test_a_failure_after_a_redirect_names_the_address_that_failed(server, location):
    with pytest.raises((TimedOut, HttpFailed), match=f"^{server.url}{location}"):
        call(f"{server.url}/redirect/302/{location}", timeout_seconds=0.7)


def test_a_host_header_by_hand_is_sent_to_the_server_of_the_url(server):
    call(f"{server.url}/redirect/302//echo", headers={"hOST": "other.example:81"})

    assert [seen["host"] for seen in server.seen] == ["other.example:81"] * 2


def test_a_host_header_by_hand_does_not_follow_to_another_site(server):
    url = f"{server.url}/redirect/302/http://localhost:PORT/echo"

    call(url, headers={"Host": "other.example"})

    assert [seen["host"] for seen in server.seen] == ["other.example", f"localhost:{server.port}"]


def test_a_host_header_by_hand_changes_neither_trust_nor_policy(tls_server, monkeypatch):
    url = f"https://127.0.0.1:{tls_server.port}/echo"

    with pytest.raises(HttpFailed, match="IP address mismatch"):
        call(url, verify=str(CERTIFICATE), headers={"Host": "localhost"})
    monkeypatch.setenv("JOBS_ALLOW_PRIVATE_ADDRESSES", "false")
    monkeypatch.setenv("JOBS_HTTP_ALLOW", "other.example")
    with pytest.raises(HttpFailed, match="may not be called"):
        call(url, headers={"Host": "other.example"})


def test_space_around_the_value_of_a_header_is_left_out(server):
    call(f"{server.url}/echo", headers={"X-Mine": " a b\t"})

    assert server.seen[0]["x-mine"] == "a b"


@pytest.mark.usefixtures("_no_pauses")
def test_a_packed_body_that_is_cut_off_is_tried_again_and_fails(server):
    output = Output()
    packed = gzip.compress(b"0123456789" * 500)

    with pytest.raises(HttpFailed, match="its gzip body is cut off"):
        call(f"{server.url}/packed/gzip/{packed[:-9].hex()}", a_run(output), retries=1)

    assert "cut off" in output.out
    assert len(server.seen) == 2


def test_each_member_of_a_packed_body_is_read(server):
    packed = gzip.compress(b'{"a": ') + gzip.compress(b"1}")

    result = call(f"{server.url}/packed/gzip/{packed.hex()}", expect_json={"pointer": "/a"})

    assert (result["body"], result["body_truncated"]) == ('{"a": 1}', False)


def test_an_encoding_that_cannot_be_unpacked_is_named(server):
    output = Output()
    url = f"{server.url}/packed/br/8b0080"

    assert call(url, a_run(output))["status"] == 200
    assert "cannot read it as 'br'" in output.out
    with pytest.raises(HttpFailed, match="in the encoding 'br', which jobs-app cannot unpack"):
        call(url, expect_json={"pointer": ""})


def test_redirects_that_never_end_fail_after_five(server):
    with pytest.raises(HttpFailed, match="more than 5 redirects"):
        call(f"{server.url}/loop")

    assert len(server.seen) == 6


def test_a_redirect_to_a_metadata_address_is_refused(server):
    with pytest.raises(HttpFailed, match=r"169\.254\.169\.254 .*: it is a link-local"):
        call(f"{server.url}/redirect/302/http://169.254.169.254/latest/")


@pytest.mark.parametrize("location", ["mailto:a@b", "myapp://signed-in"])
def test_a_redirect_that_is_expected_may_lead_anywhere(server, location):
    result = call(f"{server.url}/redirect/302/{location}", expect_status=[302])

    assert (result["status"], result["headers"]["location"]) == (302, location)


def test_a_redirect_to_another_scheme_is_refused(server):
    with pytest.raises(HttpFailed, match="http:// or https://"):
        call(f"{server.url}/redirect/302/file:///etc/passwd")


def test_a_private_address_is_refused_unless_allowed(server, monkeypatch):
    monkeypatch.setenv("JOBS_ALLOW_PRIVATE_ADDRESSES", "false")

    for host in ("127.0.0.1", "localhost", "2130706433", "0x7f.1", "[::ffff:127.0.0.1]"):
        with pytest.raises(HttpFailed, match="may not be called"):
            call(f"http://{host}:{server.port}/echo")

    assert server.seen == []


def test_the_proxies_of_the_environment_are_not_used(server, monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")

    assert call(f"{server.url}/echo")["status"] == 200


@pytest.mark.parametrize("part", ["head", "body"])
def test_a_server_that_dribbles_is_cut_off_at_the_deadline(server, part):
    started = time.monotonic()

    with pytest.raises(TimedOut, match=r"within 0\.7 s"):
        call(f"{server.url}/dribble/{part}", timeout_seconds=0.7)

    assert time.monotonic() - started < 4


def test_a_server_that_never_answers_is_cut_off_at_the_deadline(silent_port):
    with pytest.raises(TimedOut):
        call(f"http://127.0.0.1:{silent_port}/", timeout_seconds=0.5)


# httpcore leaves the socket of a handshake that is cancelled to the garbage collector.
@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
def test_a_handshake_that_never_ends_is_cut_off_at_the_deadline(silent_port):
    with pytest.raises(TimedOut):
        call(f"https://127.0.0.1:{silent_port}/", timeout_seconds=0.5)
    gc.collect()


def test_a_cancelled_run_does_not_wait_for_the_answer(silent_port):
    started = time.monotonic()
    context = a_run(
        is_cancelled=lambda: CancelMode.GRACEFUL if time.monotonic() > started + 0.3 else None
    )

    with pytest.raises(Cancelled):
        call(f"http://127.0.0.1:{silent_port}/", context)

    assert time.monotonic() - started < 4


def test_the_time_limit_of_the_run_holds_too(silent_port):
    with pytest.raises(TimedOut, match="time limit"):
        call(f"http://127.0.0.1:{silent_port}/", a_run(time_limit_seconds=0.3))


def test_an_endless_body_is_cut_at_64_kib(server):
    result = call(f"{server.url}/endless")

    assert len(result["body"]) == 65_536
    assert result["body_truncated"]


def test_a_packed_body_is_not_unpacked_past_64_kib(server):
    result = call(f"{server.url}/bomb")

    assert result["body"] == "0" * 65_536
    assert result["body_truncated"]


def test_a_body_in_another_encoding_becomes_text_without_nul(server):
    assert call(f"{server.url}/latin")["body"] == "grüße\ufffd"


def test_endless_headers_fail(server):
    with pytest.raises(HttpFailed):
        call(f"{server.url}/huge-head")


def test_a_refused_connection_fails_with_a_sentence():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

    with pytest.raises(HttpFailed, match="no connection"):
        call(f"http://127.0.0.1:{port}/")


@pytest.mark.parametrize(
    "url,sentence",
    [
        ("ftp://example.com/", "http:// or https://"),
        ("//example.com/", "http:// or https://"),
        ("http://", "http:// or https://"),
        ("http://[::1/", "cannot be read"),
        ("http://no-such-host.invalid/", "cannot be found"),
    ],
)
def test_a_url_that_cannot_be_called_fails_with_a_sentence(url, sentence):
    with pytest.raises(HttpFailed, match=sentence):
        call(url)


def test_a_header_that_would_split_the_request_fails(server):
    with pytest.raises(HttpFailed):
        call(f"{server.url}/echo", headers={"X-Mine": "a\r\nX-Forged: b"})

    assert not any("x-forged" in seen for seen in server.seen)


def test_body_and_json_together_fail(server):
    with pytest.raises(HttpFailed, match="Both body and json"):
        call(f"{server.url}/echo", method="POST", body="a", json=1)


def test_an_untrusted_certificate_fails(tls_server):
    with pytest.raises(HttpFailed, match="CERTIFICATE_VERIFY_FAILED"):
        call(f"https://localhost:{tls_server.port}/echo")


def test_a_trusted_certificate_is_checked_against_the_name_not_the_address(tls_server, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATE))

    result = call(f"https://localhost:{tls_server.port}/echo")

    assert json.loads(result["body"])["host"] == f"localhost:{tls_server.port}"
    with pytest.raises(HttpFailed, match="IP address mismatch"):
        call(f"https://127.0.0.1:{tls_server.port}/echo")


def test_a_redirect_from_https_to_http_is_refused(tls_server, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATE))

    with pytest.raises(HttpFailed, match="from https to http"):
        call(f"https://localhost:{tls_server.port}/redirect/302/http://localhost:PORT/echo")


def test_a_name_that_changes_its_address_is_called_at_the_one_that_was_checked(server, monkeypatch):
    real, hosts = socket.getaddrinfo, []

    def rebinding(host: str, *args: Any, **kwargs: Any) -> object:
        if host != "rebinding.test":
            return real(host, *args, **kwargs)
        hosts.append(host)
        return real("127.0.0.1" if len(hosts) == 1 else "169.254.169.254", *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", rebinding)

    call(f"http://rebinding.test:{server.port}/echo")

    assert server.seen[0]["host"] == f"rebinding.test:{server.port}"
    assert len(hosts) == 1


@pytest.fixture
def _no_pauses(monkeypatch):
    monkeypatch.setattr(http_client, "FIRST_PAUSE_SECONDS", 0.01)


@pytest.mark.usefixtures("_no_pauses")
@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_a_busy_server_is_asked_again_as_often_as_retries_says(server, status):
    output = Output()

    result = call(f"{server.url}/busy/2/{status}", a_run(output), retries=2)

    assert (result["status"], result["retries"], len(server.seen)) == (200, 2, 3)
    assert output.out.count(f"answered {status}; again in 0.0") == 2
    assert len({seen["idempotency-key"] for seen in server.seen}) == 1


@pytest.mark.usefixtures("_no_pauses")
def test_a_server_that_stays_busy_fails_with_its_last_answer(server):
    with pytest.raises(HttpFailed, match="answered 503; expected was 2xx"):
        call(f"{server.url}/busy/9/503", retries=2)

    assert len(server.seen) == 3


@pytest.mark.usefixtures("_no_pauses")
@pytest.mark.parametrize("status", [400, 404, 500, 501])
def test_a_lasting_failure_is_not_tried_again(server, status):
    with pytest.raises(HttpFailed):
        call(f"{server.url}/status/{status}", retries=3)

    assert len(server.seen) == 1


def test_without_retries_there_is_one_try(server):
    with pytest.raises(HttpFailed):
        call(f"{server.url}/busy/1/503")

    assert len(server.seen) == 1


@pytest.mark.usefixtures("_no_pauses")
def test_a_busy_status_that_is_expected_is_a_success_at_once(server):
    assert call(f"{server.url}/busy/9/503", retries=2, expect_status=[503])["retries"] == 0


@pytest.mark.usefixtures("_no_pauses")
def test_a_broken_connection_is_tried_again_with_the_body(server):
    result = call(f"{server.url}/broken/1", method="POST", body="hello", retries=1)

    assert (result["body"], result["retries"]) == ("mended", 1)
    assert [seen["body"] for seen in server.seen] == ["hello", "hello"]


@pytest.mark.usefixtures("_no_pauses")
def test_a_refused_connection_is_tried_again():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    output = Output()

    with pytest.raises(HttpFailed, match="no connection"):
        call(f"http://127.0.0.1:{port}/", a_run(output), retries=2)

    assert output.out.count("no connection") == 2


@pytest.mark.usefixtures("_no_pauses")
def test_a_refused_address_is_not_tried_again(server, monkeypatch):
    monkeypatch.setenv("JOBS_ALLOW_PRIVATE_ADDRESSES", "false")
    output = Output()

    with pytest.raises(HttpFailed, match="may not be called"):
        call(server.url, a_run(output), retries=5)

    assert output.out == ""


@pytest.mark.usefixtures("_no_pauses")
def test_retry_after_is_waited_for(server):
    started = time.monotonic()

    result = call(f"{server.url}/busy/1/503/1", retries=1)

    assert result["retries"] == 1
    assert time.monotonic() - started >= 1


@pytest.mark.usefixtures("_no_pauses")
@pytest.mark.parametrize("after", ["3600", "Wed, 01 Jan 2098 00:00:00 GMT"])
def test_a_retry_after_beyond_the_deadline_is_not_waited_for(server, after):
    started = time.monotonic()

    with pytest.raises(HttpFailed, match="answered 503"):
        call(f"{server.url}/busy/1/503/{quote(after)}", retries=1, timeout_seconds=5)

    assert time.monotonic() - started < 4
    assert len(server.seen) == 1


@pytest.mark.usefixtures("_no_pauses")
@pytest.mark.parametrize("after", ["soon", "-1", "Wed, 01 Jan 2020 00:00:00 GMT", "1" * 400])
def test_an_unreadable_retry_after_is_ignored(server, after):
    with suppress(HttpFailed):
        call(f"{server.url}/busy/1/503/{quote(after)}", retries=1, timeout_seconds=5)

    assert len(server.seen) in (1, 2)


def test_a_pause_between_tries_ends_with_the_run(server):
    started = time.monotonic()

    with pytest.raises(TimedOut, match="time limit"):
        call(f"{server.url}/busy/9/503/9", a_run(time_limit_seconds=0.3), retries=3)

    assert time.monotonic() - started < 4


@pytest.mark.parametrize("most", [0, 1, 7])
def test_max_redirects_bounds_what_is_followed(server, most):
    with pytest.raises(HttpFailed, match="redirect"):
        call(f"{server.url}/loop", max_redirects=most)

    assert len(server.seen) == most + 1


@pytest.mark.parametrize(
    "document,expected",
    [
        ({"status": "ok"}, {"pointer": "/status", "equals": "ok"}),
        ({"status": "ok"}, {"pointer": "/status"}),
        ({"a": [{"b": None}]}, {"pointer": "/a/0/b", "equals": None}),
        ({"a/b": 1}, {"pointer": "/a~1b", "equals": 1.0}),
        ([1, {"a": True}], {"pointer": "", "equals": [1, {"a": True}]}),
    ],
)
def test_an_answer_that_says_what_is_expected_is_a_success(server, document, expected):
    url = f"{server.url}/json/{quote(json.dumps(document))}"

    assert call(url, expect_json=expected)["status"] == 200


@pytest.mark.parametrize(
    "text,expected,sentence",
    [
        ('{"status": "down"}', {"pointer": "/status", "equals": "ok"}, "is not as expected at"),
        ('{"status": 1}', {"pointer": "/status", "equals": True}, "is not as expected at"),
        ('{"status": null}', {"pointer": "/status", "equals": "ok"}, "is not as expected at"),
        ('{"status": null}', {"pointer": "/state"}, "has nothing at '/state'"),
        ("[1]", {"pointer": "/1"}, "has nothing at '/1'"),
        ("<html>", {"pointer": "/status"}, "something other than JSON"),
    ],
)
def test_an_answer_that_says_something_else_fails_with_its_body_in_the_log(
    server, text, expected, sentence
):
    output = Output()

    with pytest.raises(HttpFailed, match=sentence):
        call(f"{server.url}/json/{quote(text)}", a_run(output), expect_json=expected)

    assert text in output.out


def test_json_is_not_looked_for_in_an_answer_that_was_cut(server):
    with pytest.raises(HttpFailed, match="more than 100 bytes: too long to look for '/a'"):
        call(f"{server.url}/long/101", expect_json={"pointer": "/a"}, max_response_bytes=100)


def test_max_response_bytes_says_how_much_is_kept(server):
    exact = call(f"{server.url}/long/100000", max_response_bytes=100_000)
    cut = call(f"{server.url}/long/100000", max_response_bytes=10)

    assert (len(exact["body"]), exact["body_truncated"]) == (100_000, False)
    assert (cut["body"], cut["body_truncated"]) == ("x" * 10, True)


def test_the_setting_bounds_what_any_job_keeps(server, monkeypatch):
    monkeypatch.setenv("JOBS_HTTP_RESPONSE_LIMIT_BYTES", "1024")

    assert len(call(f"{server.url}/long/5000")["body"]) == 1024


def test_a_certificate_can_be_passed_over_or_trusted_by_name(tls_server):
    url = f"https://localhost:{tls_server.port}/echo"

    assert call(url, verify=False)["status"] == 200
    assert call(url, verify=str(CERTIFICATE))["status"] == 200
    with pytest.raises(HttpFailed, match="IP address mismatch"):
        call(f"https://127.0.0.1:{tls_server.port}/echo", verify=str(CERTIFICATE))


@pytest.mark.parametrize("path", ["/no/such/file", "/etc/hostname"])
def test_authorities_that_cannot_be_read_fail_with_a_sentence(tls_server, path):
    with pytest.raises(HttpFailed, match="holds no certificates"):
        call(f"https://localhost:{tls_server.port}/echo", verify=path)


@pytest.mark.usefixtures("_no_pauses")
def test_a_wrong_certificate_is_not_tried_again(tls_server):
    output = Output()

    with pytest.raises(HttpFailed, match="CERTIFICATE_VERIFY_FAILED"):
        call(f"https://localhost:{tls_server.port}/echo", a_run(output), retries=3)

    assert output.out == ""


@pytest.mark.parametrize(
    "entry", ["127.0.0.1", "127.0.0.0/8", "localhost", "localhost:PORT", "::1"]
)
def test_an_allowlist_entry_lets_a_private_address_through(server, monkeypatch, entry):
    monkeypatch.setenv("JOBS_ALLOW_PRIVATE_ADDRESSES", "false")
    monkeypatch.setenv("JOBS_HTTP_ALLOW", f"10.0.0.0/8, {entry.replace('PORT', str(server.port))}")
    monkeypatch.setattr(socket, "getaddrinfo", _to("::1" if entry == "::1" else "127.0.0.1"))

    if entry == "::1":
        with pytest.raises(HttpFailed, match="no connection"):
            call(f"http://localhost:{server.port}/echo")
    else:
        assert call(f"http://localhost:{server.port}/echo")["status"] == 200


@pytest.mark.parametrize("variable", ["JOBS_REDIS_URL", "JOBS_DATABASE_URL"])
def test_the_servers_of_jobs_app_itself_are_not_called(server, monkeypatch, variable):
    scheme = "redis" if variable == "JOBS_REDIS_URL" else "postgresql"
    monkeypatch.setenv(variable, f"{scheme}://ann:hunter2@localhost:{server.port}/0")

    # Each address of this machine may lead there.
    for allow in ("", "127.0.0.0/8", "localhost", f"localhost:{server.port + 1}"):
        monkeypatch.setenv("JOBS_HTTP_ALLOW", allow)
        for host in ("localhost", "127.0.0.1", "127.0.0.2", "[::ffff:127.0.0.1]"):
            with pytest.raises(HttpFailed, match=f"own server of {variable}") as raised:
                call(f"http://{host}:{server.port}/echo")
            assert "hunter2" not in raised.value.detail

    with pytest.raises(HttpFailed, match="own server"):
        call(f"{server.url}/redirect/302/http://127.0.0.1:{server.port}/echo")
    assert server.seen == []


def test_a_server_of_jobs_app_itself_is_called_if_the_allowlist_has_its_port(server, monkeypatch):
    monkeypatch.setenv("JOBS_REDIS_URL", f"redis://localhost:{server.port}/0")

    for entry in ("127.0.0.1:PORT", "localhost:PORT"):
        monkeypatch.setenv("JOBS_HTTP_ALLOW", entry.replace("PORT", str(server.port)))
        assert call(f"http://localhost:{server.port}/echo")["status"] == 200


def test_other_ports_of_a_machine_with_a_server_of_jobs_app_are_called(server, monkeypatch):
    monkeypatch.setenv("JOBS_REDIS_URL", f"redis://localhost:{server.port + 1}/0")

    assert call(f"{server.url}/echo")["status"] == 200


def _to(address: str) -> Callable[..., Any]:
    real = socket.getaddrinfo
    return lambda _host, *args, **kwargs: real(address, *args, **kwargs)


@pytest.mark.parametrize("entry", ["10.0.0.0/8", "other.example", "localhost:1", "*.localhost"])
def test_an_allowlist_entry_for_another_host_does_not(server, monkeypatch, entry):
    monkeypatch.setenv("JOBS_ALLOW_PRIVATE_ADDRESSES", "false")
    monkeypatch.setenv("JOBS_HTTP_ALLOW", entry)

    with pytest.raises(HttpFailed, match="allowed only by JOBS_HTTP_ALLOW"):
        call(f"http://localhost:{server.port}/echo")

    assert server.seen == []


def test_a_redirect_to_a_host_that_is_not_allowed_is_refused(server, monkeypatch):
    monkeypatch.setenv("JOBS_ALLOW_PRIVATE_ADDRESSES", "false")
    monkeypatch.setenv("JOBS_HTTP_ALLOW", "localhost")

    with pytest.raises(HttpFailed, match=r"127\.0\.0\.1 may not be called"):
        call(f"http://localhost:{server.port}/redirect/302/http://127.0.0.1:PORT/echo")

    assert len(server.seen) == 1


def faults(**kwargs: Any) -> list[tuple[str, str]]:
    arguments = {"url": "https://example.com/"} | kwargs
    return [(e.pointer, e.code) for e in registry.check(TASKS, "http", arguments)]


@pytest.mark.parametrize(
    "kwargs,expected",
    [
        ({}, []),
        ({"expect_json": {"pointer": "/a", "equals": [1]}, "verify": "/etc/ca.pem"}, []),
        ({"url": "${secret:URL}", "headers": {"Authorization": "Bearer ${secret:TOKEN}"}}, []),
        ({"url": "ftp://example.com"}, [("/kwargs/url", "bad_url")]),
        ({"url": ""}, [("/kwargs/url", "bad_url")]),
        ({"url": "https://"}, [("/kwargs/url", "bad_url")]),
        ({"method": "BREW"}, [("/kwargs/method", "not_a_choice")]),
        ({"headers": {"X Y": "1"}}, [("/kwargs/headers/X Y", "bad_header")]),
        ({"headers": {"X": "a\r\nY: b"}}, [("/kwargs/headers/X", "bad_header")]),
        ({"headers": {"X": "a\x7f"}}, [("/kwargs/headers/X", "bad_header")]),
        ({"headers": {"x": "a", "X": "b"}}, [("/kwargs/headers/X", "bad_header")]),
        ({"headers": {"Host": "a.example:81"}}, []),
        ({"headers": {"host": "${secret:HOST}"}}, []),
        ({"headers": {"Host": "a.example/b"}}, [("/kwargs/headers/Host", "bad_header")]),
        *[
            ({"headers": {name: "1"}}, [(f"/kwargs/headers/{name}", "bad_header")])
            for name in ("Content-Length", "transfer-encoding", "Connection", "Upgrade", "TE")
        ],
        ({"headers": {"X": 5}}, [("/kwargs/headers/X", "wrong_type")]),
        ({"body": "a", "json": 1}, [("/kwargs/json", "body_and_json")]),
        ({"timeout_seconds": 0}, [("/kwargs/timeout_seconds", "too_small")]),
        ({"expect_status": [99]}, [("/kwargs/expect_status/0", "too_small")]),
        ({"expect_json": {"pointer": "a"}}, [("/kwargs/expect_json/pointer", "bad_pointer")]),
        ({"expect_json": {"equals": 1}}, [("/kwargs/expect_json", "missing_argument")]),
        (
            {"expect_json": {"pointer": "", "is": 1}},
            [("/kwargs/expect_json/is", "unknown_argument")],
        ),
        ({"verify": "ca.pem"}, [("/kwargs/verify", "bad_path")]),
        ({"verify": 0}, [("/kwargs/verify", "wrong_type")]),
        ({"max_redirects": 21}, [("/kwargs/max_redirects", "too_large")]),
        ({"retries": -1}, [("/kwargs/retries", "too_small")]),
        ({"max_response_bytes": 262_145}, [("/kwargs/max_response_bytes", "too_large")]),
    ],
)
def test_impossible_arguments_are_refused_before_they_are_saved(kwargs, expected):
    assert faults(**kwargs) == expected


@pytest.mark.parametrize(
    "kwargs,words",
    [
        ({"verify": False}, "verify is false"),
        ({"method": "POST", "retries": 1}, "Idempotency-Key"),
        ({"url": "http://169.254.169.254/latest"}, "only if JOBS_HTTP_ALLOW has this very"),
        ({"url": "http://[fe80::1]/"}, "only if JOBS_HTTP_ALLOW has this very"),
        ({"retries": 1}, None),
        ({"url": "http://localhost/"}, None),
    ],
)
def test_a_risky_argument_is_warned_of(kwargs, words):
    texts = registry.argument_warnings(TASKS, "http", {"url": "https://example.com/"} | kwargs)

    assert len(texts) == (0 if words is None else 1)
    assert words is None or words in texts[0]


def test_a_private_address_is_warned_of_where_it_will_be_refused(monkeypatch):
    monkeypatch.setenv("JOBS_ALLOW_PRIVATE_ADDRESSES", "false")

    (warning,) = registry.argument_warnings(TASKS, "http", {"url": "http://localhost/"})

    assert "will be refused" in warning
