"""The last address in X-Forwarded-For, whatever its header holds."""

import pytest

from jobs_app.web.forwarded_for import last_hop

#: Values of X-Forwarded-For, and the address that is read from each.
HOPS = {
    "192.0.2.7": "192.0.2.7",
    '"bad, 192.0.2.7:4711': "192.0.2.7",
    "192.0.2.7, ::ffff:192.0.2.8": "[::ffff:192.0.2.8]",
    '"[2001:db8::1]:80"': "[2001:db8::1]",
    ":80": "unknown",
    "": "unknown",
    "192.0.2.7, \x9b31m": "unknown",
    "1" * 30_000: "unknown",
}


@pytest.mark.parametrize("value", HOPS, ids=range(len(HOPS)))
def test_the_last_hop_is_an_address_or_unknown(value: str) -> None:
    hop = last_hop(value)

    assert hop.replace("::ffff:c000:208", "::ffff:192.0.2.8") == HOPS[value]
