"""The allowlist of JOBS_HTTP_ALLOW."""

from ipaddress import ip_address

import pytest

from jobs_app.core.network_allowlist import parse_allowlist


@pytest.mark.parametrize(
    "text",
    [
        *("http://a.example", "a b", "10.0.0.0/33", "10.0.0.1/8", "a.example:0", "*", "1.2.3"),
        # A port that cannot be read must not open all ports of the address.
        *("10.0.0.1:8O80", "10.0.0.1:", "10.0.0.0/8:x", "[fd00::1]:x", "[fd00::1]:"),
        *("10.0.0.1:0", "10.0.0.1:65536", "[fd00::1]:99999", "a.example:65536", "a.example:"),
        *("[fd00::1", "fd00::1]", "[10.0.0.1]:80", "[a.example]", "[]", "10.0.0.1:\u0663"),
    ],
)
def test_an_invalid_allowlist_is_refused_at_the_start(text):
    with pytest.raises(ValueError, match="is no host, address or network"):
        parse_allowlist(text)


def test_a_password_in_an_entry_is_not_repeated():
    with pytest.raises(ValueError, match="an entry with @ is no host") as raised:
        parse_allowlist("a.example,http://ann:hunter2@b.example")

    assert "hunter2" not in str(raised.value)


@pytest.mark.parametrize(
    "text, host, port, address",
    [
        ("[::1]", "::1", 80, "::1"),
        ("::1", "::1", 80, "::1"),
        ("[fd00::1]:443", "fd00::1", 443, "fd00::1"),
        ("[fd00::/8]:443", "fd12::1", 443, "fd12::1"),
        ("10.0.0.1:80", "10.0.0.1", 80, "10.0.0.1"),
        ("10.0.0.0/8:80", "x.example", 80, "10.1.2.3"),
        ("A.example.:80", "a.example", 80, "10.0.0.1"),
        ("*.corp.example", "x.corp.example", 99, "10.0.0.1"),
        ("my_host-1", "my_host-1", 99, "10.0.0.1"),
    ],
)
def test_an_entry_covers_its_host_on_its_port(text, host, port, address):
    [entry] = parse_allowlist(text)

    assert entry.covers(host, port, ip_address(address))
    assert entry.covers(host, port + 1, ip_address(address)) is (entry.port is None)
