"""The addresses that a job may call."""

import asyncio
from ipaddress import ip_address

import pytest

from jobs_app.core.network_allowlist import OwnServer, parse_allowlist
from jobs_app.tasks.context import HttpFailed
from jobs_app.tasks.network_policy import NetworkPolicy


@pytest.mark.parametrize(
    "address",
    [
        *("169.254.169.254", "169.254.1.1", "fe80::1", "fe80::1%1", "100.100.100.200"),
        *("fd00:ec2::254", "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe", "2002:a9fe:a9fe::"),
        *("2001:4860::5efe:a9fe:a9fe", "2001:4860::200:5efe:a9fe:a9fe", "2002:e000:1::"),
        *("168.63.129.16", "192.0.0.192", "fd20:ce::254", "fd00:ec2::23", "fd00:c1::a9fe:a9fe"),
        *("fd00:42::42", "64:ff9b:1::a9fe:a9fe", "::ffff:0:a9fe:a9fe", "::ffff:168.63.129.16"),
        *("::a9fe:a9fe", "0.0.0.0", "0.1.2.3", "::", "224.0.0.1", "ff02::1", "255.255.255.255"),
    ],
)
def test_these_addresses_are_never_called(address):
    assert NetworkPolicy(allows_private=True).refusal(ip_address(address)) is not None


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "100.64.0.1", "::1", "fc00::1"),
        *("::ffff:10.0.0.1", "64:ff9b::a00:1", "::127.0.0.1", "64:ff9b:1::808:808"),
        *("2001:4860::5efe:a00:1", "2002:7f00:1::", "192.0.0.1", "192.88.99.1", "fec0::1"),
        *("::ffff:0:808:808", "3fff::1", "5f00::1", "fd12::1"),
    ],
)
def test_private_addresses_are_called_only_if_allowed(address):
    assert NetworkPolicy().refusal(ip_address(address)) is not None
    assert NetworkPolicy(allows_private=True).refusal(ip_address(address)) is None


@pytest.mark.parametrize(
    "address", ["8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"]
)
def test_public_addresses_are_called(address):
    assert NetworkPolicy().refusal(ip_address(address)) is None


@pytest.mark.parametrize(
    "entries,address,host,is_allowed",
    [
        ("169.254.169.254", "169.254.169.254", "", True),
        ("169.254.169.254/32", "169.254.169.254", "", True),
        ("169.254.0.0/16", "169.254.169.254", "", False),
        ("metadata.internal", "169.254.169.254", "metadata.internal", False),
        ("169.254.169.254", "169.254.169.253", "", False),
        ("0.0.0.0/0", "10.0.0.1", "", True),
        ("0.0.0.0/0", "169.254.169.254", "", False),
        ("0.0.0.0/0", "224.0.0.1", "", False),
        ("*.corp.example", "10.0.0.1", "a.b.corp.example", True),
        ("*.corp.example", "10.0.0.1", "corp.example", False),
        ("*.corp.example", "10.0.0.1", "evilcorp.example", False),
        ("Intranet.Example.", "10.0.0.1", "intranet.example", True),
        ("10.0.0.1:8080", "10.0.0.1", "", False),
        ("10.0.0.1:80", "10.0.0.1", "", True),
        ("[fd00::1]:80", "fd00::1", "", True),
        ("fd00::/8", "fd00:ec2::254", "", False),
        ("fd00:ec2::254", "fd00:ec2::254", "", True),
        ("10.0.0.0/8", "::ffff:10.0.0.1", "", False),
    ],
)
def test_an_allowlist_allows_what_it_names_and_metadata_only_by_address(
    entries, address, host, is_allowed
):
    policy = NetworkPolicy(allowlist=parse_allowlist(entries))

    reason = policy.refusal(ip_address(address), host=host or address, port=80)

    assert (reason is None) == is_allowed


def test_own_servers_are_looked_up_at_the_time_of_a_call():
    known = [OwnServer("JOBS_REDIS_URL", "127.0.0.1", 6380)]
    policy = NetworkPolicy(allows_private=True, look_up_own=lambda: known)

    with pytest.raises(HttpFailed, match="own server of JOBS_REDIS_URL") as failure:
        asyncio.run(policy.checked_addresses("127.0.0.1", 6380))
    elsewhere = asyncio.run(policy.checked_addresses("127.0.0.1", 6381))

    assert not failure.value.may_pass
    assert elsewhere == [ip_address("127.0.0.1")]


@pytest.mark.parametrize(
    "host, entries, is_refused",
    [
        ("10.0.0.1", "", True),
        ("127.0.0.1", "127.0.0.1", True),
        ("10.0.0.1", "10.0.0.1:6379", False),
        ("192.88.99.1", "", True),
        ("8.8.8.8", "", False),
    ],
)
def test_while_nobody_knows_the_own_servers_private_ones_are_not_called(host, entries, is_refused):
    allowlist = parse_allowlist(entries)
    policy = NetworkPolicy(allows_private=True, allowlist=allowlist, look_up_own=lambda: None)

    async def call():
        return await policy.checked_addresses(host, 6379)

    if is_refused:
        with pytest.raises(HttpFailed, match="no Sentinel of JOBS_REDIS_URL answers") as failure:
            asyncio.run(call())
        assert failure.value.may_pass
    else:
        assert asyncio.run(call()) == [ip_address(host)]
