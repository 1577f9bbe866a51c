"""Surroundings that let others in are refused, or named."""

import pytest

from jobs_app.core.errors import ConfigurationError
from jobs_app.core.exposure import check_host, is_loopback, redis_warnings
from jobs_app.core.settings import Settings


@pytest.mark.parametrize(
    "host, expected",
    [
        ("127.0.0.1", True),
        ("127.8.9.1", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("192.0.2.1", False),
        ("fe80::1", False),
        ("", False),
        ("no-such-host.invalid", False),
    ],
)
def test_a_server_that_other_machines_reach_is_refused_unless_it_is_allowed(
    host: str, expected: bool
) -> None:
    assert is_loopback(host) is expected
    check_host(Settings(host=host, plain_http=True))
    if expected:
        check_host(Settings(host=host))
    else:
        with pytest.raises(ConfigurationError, match="JOBS_PLAIN_HTTP=true"):
            check_host(Settings(host=host))


@pytest.mark.parametrize(
    "url, policy, words",
    [
        ("redis://:secret@redis/0", "noeviction", []),
        ("redis://redis/0?password=secret", None, []),
        ("unix:///run/redis.sock", "noeviction", []),
        ("rediss://redis/0?ssl_certfile=/x.pem", "noeviction", []),
        ("redis://redis/0", "noeviction", ["no password"]),
        ("redis://user@redis/0", "noeviction", ["no password"]),
        ("rediss://redis/0", "noeviction", ["no password"]),
        ("redis://:secret@redis/0", "allkeys-lru", ["maxmemory-policy allkeys-lru"]),
        ("redis://redis", "volatile-ttl", ["no password", "maxmemory-policy volatile-ttl"]),
    ],
)
def test_what_is_not_safe_about_redis_is_named(
    url: str, policy: str | None, words: list[str]
) -> None:
    warnings = redis_warnings(Settings(redis_url=url), eviction_policy=policy)

    assert len(warnings) == len(words)
    assert all(word in warning for word, warning in zip(words, warnings, strict=True))
    assert "secret" not in " ".join(warnings)


def test_the_embedded_valkey_on_tcp_is_named(tmp_path) -> None:
    settings = Settings(data_dir=tmp_path)
    settings.redis_url_file.write_text("redis://:secret@127.0.0.1:7000/0\n")

    [warning] = redis_warnings(settings, eviction_policy="noeviction")

    assert "A shorter JOBS_DATA_DIR avoids that" in warning
