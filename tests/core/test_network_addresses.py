"""The kinds of addresses do not depend on the release of Python."""

from ipaddress import IPv6Address, ip_address

import pytest

from jobs_app.core.network_addresses import is_metadata, is_private


@pytest.mark.parametrize(
    "address",
    [
        *("169.254.169.254", "fe80::a9fe:a9fe", "100.100.100.200", "168.63.129.16", "192.0.0.192"),
        *("fd00:ec2::254", "fd00:ec2::23", "fd20:ce::254", "fd00:c1::a9fe:a9fe", "fd00:42::42"),
        *("fd00:a9fe:a9fe::1", "64:ff9b:1::a9fe:a9fe", "64:ff9b:1:a9fe:a9:fe00::"),
        *("64:ff9b:1:1:a9:fea9:fe00:0", "64:ff9b:1::a9:fea9:fe00:0", "fd12::a9fe:a9fe"),
        *("2001:db8:64::a9fe:a9fe", "64:ff9b:1:a9:fe:a9fe::", "fd64::a83f:8110"),
    ],
)
def test_metadata_is_recognised_in_each_form(address):
    assert is_metadata(ip_address(address))


@pytest.mark.parametrize("address", ["10.0.0.1", "fd00::1", "64:ff9b:1::808:808", "8.8.8.8"])
def test_other_addresses_are_no_metadata(address):
    assert not is_metadata(ip_address(address))


@pytest.mark.parametrize(
    "address",
    [
        *("192.0.0.1", "192.88.99.1", "100.64.0.1", "198.18.0.1", "203.0.113.9", "127.8.8.8"),
        *("fec0::1", "::ffff:0:808:808", "3fff::1", "5f00::1", "100::1", "2001:db8::1", "::1"),
        *("2001:10::1", "fd00::1", "1000::1", "4000::1", "64:ff9b:1::808:808"),
    ],
)
def test_these_addresses_are_not_of_the_public_internet(address):
    assert is_private(ip_address(address))


@pytest.mark.parametrize(
    "address", ["8.8.8.8", "192.0.1.1", "172.32.0.1", "2606:4700::1111", "2a00:1450::1"]
)
def test_these_addresses_are_of_the_public_internet(address):
    assert not is_private(ip_address(address))


def test_the_kinds_do_not_ask_python(monkeypatch):
    for name in ("is_global", "is_private", "is_link_local"):
        monkeypatch.delattr(IPv6Address, name)

    assert is_private(ip_address("3fff::1"))
    assert is_metadata(ip_address("fe80::1"))
