"""The allowlist of JOBS_HTTP_ALLOW."""

import pytest

from jobs_app.core.network_allowlist import parse_allowlist


@pytest.mark.parametrize(
    "text", ["http://a.example", "a b", "10.0.0.0/33", "10.0.0.1/8", "a.example:0", "*", "1.2.3"]
)
def test_an_invalid_allowlist_is_refused_at_the_start(text):
    with pytest.raises(ValueError, match="is no host, address or network"):
        parse_allowlist(text)
