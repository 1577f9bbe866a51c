"""The URLs of brokers and of result backends."""

import ssl

import pytest

from jobs_app.tasks.celery_server import CeleryServer, celery_server


@pytest.mark.parametrize(
    "url, server",
    [
        ("redis://h", CeleryServer("redis", "h", 6379, "0")),
        (
            "redis://:p%40ss@h:7000/3?global_keyprefix=shop:",
            CeleryServer("redis", "h", 7000, "3", password="p@ss", key_prefix="shop:"),
        ),
        ("rediss://u:p@h/1", CeleryServer("redis", "h", 6379, "1", "u", "p", is_encrypted=True)),
        ("amqp://u:p@[::1]", CeleryServer("amqp", "::1", 5672, "/", "u", "p")),
        ("pyamqp://guest@h//", CeleryServer("amqp", "h", 5672, "/", "guest")),
        ("amqp://h//", CeleryServer("amqp", "h", 5672, "/")),
        ("amqp://h/shop%2Fa", CeleryServer("amqp", "h", 5672, "shop/a")),
        (
            "amqps://h?ssl_ca_certs=/ca.pem&ssl_cert_reqs=CERT_REQUIRED",
            CeleryServer("amqp", "h", 5671, "/", is_encrypted=True, ca="/ca.pem"),
        ),
        (
            "rediss://h?ssl_cert_reqs=none",
            CeleryServer("redis", "h", 6379, "0", is_encrypted=True, checks_certificate=False),
        ),
    ],
)
def test_a_url_is_read_as_celery_reads_it(url: str, server: CeleryServer) -> None:
    assert celery_server(url) == server
    assert "p@ss" not in repr(server)


@pytest.mark.parametrize(
    "url",
    [
        *("", "h:6379", "http://h", "sentinel://h", "memory://", "redis+socket:///x"),
        *(
            "redis://",
            "redis:///0",
            "redis://h:99999",
            "redis://h/x",
            "redis://h/-1",
            "redis://h#x",
        ),
        *("redis://h?socket_timeout=9", "redis://h?ssl_ca_certs=/x", "rediss://h?ssl_cert_reqs=no"),
        *("amqp://h?heartbeat=1", "amqp://h?global_keyprefix=x", "rediss://h?ssl_ca_certs="),
        *("redis://a,b/0", "amqp://h/a\nb", "redis://[::1/0"),
    ],
)
def test_other_urls_are_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"use redis://|it must"):
        celery_server(url)


@pytest.mark.parametrize(
    "url", ["http://u:hunter2@h", "redis://:hunter2@h:x", "redis://:hunt/er2@h"]
)
def test_a_refusal_does_not_show_the_password(url: str) -> None:
    with pytest.raises(ValueError, match=r"use redis://|it must") as refusal:
        celery_server(url)

    assert "er2" not in str(refusal.value)


def test_only_redis_has_results() -> None:
    with pytest.raises(ValueError, match="use redis://"):
        celery_server("amqp://h", only_redis=True)


@pytest.mark.parametrize(
    "url, host, tls",
    [
        ("redis://h", "10.0.0.1", None),
        (
            "rediss://h",
            "h",
            {
                "ssl_cert_reqs": ssl.CERT_REQUIRED,
                "ssl_ca_certs": None,
                "ssl_check_hostname": True,
            },
        ),
        (
            "rediss://h?ssl_cert_reqs=none",
            "10.0.0.1",
            {"ssl_cert_reqs": ssl.CERT_NONE, "ssl_ca_certs": None, "ssl_check_hostname": False},
        ),
        (
            "amqps://h?ssl_ca_certs=/ca",
            "10.0.0.1",
            {"cert_reqs": ssl.CERT_REQUIRED, "ca_certs": "/ca", "server_hostname": "h"},
        ),
        (
            "amqps://h?ssl_cert_reqs=none",
            "10.0.0.1",
            {"cert_reqs": ssl.CERT_NONE, "ca_certs": None},
        ),
    ],
)
def test_the_checked_address_is_called_unless_the_certificate_has_the_name(
    url: str, host: str, tls: object
) -> None:
    server = celery_server(url)

    assert (server.host_to_call("10.0.0.1"), server.tls()) == (host, tls)
