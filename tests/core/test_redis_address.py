"""The address of Redis: each client gets it in its own form, and a wrong one is refused."""

import pytest

from jobs_app.core.network_allowlist import OwnServer
from jobs_app.core.redis_address import redis_address
from jobs_app.core.settings import Settings

SENTINELS = "redis+sentinel://me:s%2Fe;t@a:26379,b:1,[::1]/main/2?sentinel_password=other"
TLS = {"ssl_cert_reqs": "required", "ssl_check_hostname": True}


@pytest.mark.parametrize(
    "url, expected",
    [
        ("redis://redis", "redis://redis"),
        ("redis://:p@redis:6379/1", "redis://:p@redis:6379/1"),
        ("redis://redis/0?password=p%2Fw", "redis://:p%2Fw@redis/0"),
        ("redis://redis?username=u&password=p&db=2", "redis://u:p@redis/2"),
        ("unix:///run/r.sock?password=p&db=2", "redis+socket://:p@/run/r.sock?virtual_host=2"),
    ],
)
def test_celery_gets_user_password_and_database_in_their_places(url: str, expected: str) -> None:
    assert redis_address(url).celery_url == expected


@pytest.mark.parametrize(
    "options, tls",
    [
        ("", TLS),
        ("?ssl_cert_reqs=CERT_REQUIRED&ssl_ca_certs=/ca", TLS | {"ssl_ca_certs": "/ca"}),
        ("?ssl_certfile=/c&ssl_keyfile=/k", TLS | {"ssl_certfile": "/c", "ssl_keyfile": "/k"}),
        ("?ssl_check_hostname=false", TLS | {"ssl_check_hostname": False}),
        ("?ssl_cert_reqs=none", {"ssl_cert_reqs": "none", "ssl_check_hostname": False}),
    ],
)
def test_the_options_of_tls_leave_the_url(options: str, tls: dict[str, object]) -> None:
    address = redis_address(f"rediss://:p@h:1/3{options}")

    assert (address.url, address.celery_url) == ("rediss://:p@h:1/3",) * 2
    assert address.tls == tls


def test_other_options_stay() -> None:
    address = redis_address("rediss://h?ssl_ca_certs=/ca&health_check_interval=3")

    assert address.url == "rediss://h?health_check_interval=3"


def test_sentinels_are_named_to_each_client() -> None:
    address = redis_address(SENTINELS)
    wire = {"socket_timeout": 5, "retry": None}
    servers = (("a", 26379), ("b", 1), ("::1", 26379))

    assert address.sentinels is not None
    assert (address.sentinels.servers, address.sentinels.service) == (servers, "main")
    assert address.celery_url == (
        "sentinel://me:s%2Fe%3Bt@a:26379/2;sentinel://me:s%2Fe%3Bt@b:1/2;"
        "sentinel://me:s%2Fe%3Bt@[::1]:26379/2"
    )
    assert address.celery_options(wire) == {
        "master_name": "main",
        "sentinel_kwargs": {"socket_timeout": 5, "password": "other"},
    }
    assert address.redbeat_url == "redis-sentinel://a:26379/2"
    options = address.redbeat_options(wire)
    assert options["sentinels"] == list(servers)
    assert (options["service_name"], options["db"]) == ("main", 2)
    assert (options["username"], options["password"]) == ("me", "s/e;t")


def test_tls_counts_for_sentinels_too() -> None:
    address = redis_address("rediss+sentinel://a/main?ssl_ca_certs=/ca")

    options = address.celery_options({})["sentinel_kwargs"]

    assert options == {"ssl": True, **TLS, "ssl_ca_certs": "/ca"}
    assert address.tls_options == options


@pytest.mark.parametrize(
    "url",
    [
        *("127.0.0.1:6379", "http://h", "redis+cluster://h", "sentinel://h/main"),
        *("redis+sentinel://h", "redis+sentinel:///main", "redis+sentinel://h,/main"),
        *("redis+sentinel://h/main/x", "redis+sentinel://h/main?socket_timeout=1"),
        *("redis://h?ssl_ca_certs=/ca", "unix:///r?ssl_cert_reqs=none"),
        *("rediss://h?ssl_cert_reqs=no", "rediss://h?ssl_ca_certs=", "rediss://h?ssl_keyfile=/k"),
        *("rediss://h?ssl_check_hostname=1", "rediss://h?ssl_ca=/ca"),
    ],
)
def test_a_wrong_address_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"redis_url|use |needs |options|give "):
        Settings(redis_url=url)


def test_sentinels_are_our_own_servers() -> None:
    servers = Settings(redis_url=SENTINELS).own_servers

    assert [(server.host, server.port) for server in servers] == [
        ("a", 26379),
        ("b", 1),
        ("::1", 26379),
    ]
    assert isinstance(servers[0], OwnServer)
