"""The address that a request came from."""

import pytest
from flask import Flask

from jobs_app.web.remote_address import is_loopback_address, is_loopback_name, remote_address


@pytest.mark.parametrize(
    "sent, known", [("192.0.2.7", "192.0.2.7"), ("", None), ("a b\n" + "c" * 99, f"a?b?{'c' * 60}")]
)
def test_the_address_fits_the_log_and_the_database(sent: str, known: str | None) -> None:
    with Flask("test").test_request_context(environ_base={"REMOTE_ADDR": sent}):
        assert remote_address() == known


@pytest.mark.parametrize(
    "host, address, expected",
    [
        ("localhost:5000", "127.0.0.1", (True, True)),
        ("[::1]:5000", "::1", (True, True)),
        ("127.0.0.1", "192.0.2.7", (True, False)),
        ("evil.test:5000", "127.0.0.1", (False, True)),
        ("localhost.evil.test", "", (False, False)),
    ],
)
def test_this_machine_is_known(host: str, address: str, expected: tuple[bool, bool]) -> None:
    environ = {"REMOTE_ADDR": address}
    with Flask("test").test_request_context(base_url=f"http://{host}", environ_base=environ):
        assert (is_loopback_name(), is_loopback_address()) == expected
