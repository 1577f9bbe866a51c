"""Connections to brokers: certificates are checked, and each address of a name is tried."""

from pathlib import Path

import pytest

from jobs_app.core.network_allowlist import parse_allowlist
from jobs_app.core.settings import Settings
from jobs_app.tasks.celery_connection import broker_connection, redis_connection
from jobs_app.tasks.celery_server import celery_server
from jobs_app.tasks.context import CeleryFailed
from jobs_app.tasks.installation_policy import broker_policy
from jobs_app.tasks.network_policy import NetworkPolicy
from tests.servers import ValkeyServer
from tests.tasks.amqp_broker import AmqpBroker
from tests.tasks.tls_proxy import tls_proxy

POLICY = NetworkPolicy(allowlist=parse_allowlist("127.0.0.1, localhost"))
CERTIFICATE = Path(__file__).with_name("builtin") / "localhost.pem"


def connect(url: str, policy: NetworkPolicy = POLICY) -> None:
    broker_connection(celery_server(url), policy).release()


def test_the_certificate_of_an_encrypted_broker_is_checked():
    with AmqpBroker(set(), CERTIFICATE).serving() as broker:
        address = f"localhost:{broker.port}"
        connect(f"amqps://{address}?ssl_ca_certs={CERTIFICATE}")
        connect(f"amqps://{address}?ssl_cert_reqs=none")
        with pytest.raises(CeleryFailed, match="CERTIFICATE_VERIFY_FAILED"):
            connect(f"amqps://{address}")

    assert len(broker.logins) == 2


def test_the_certificate_of_an_encrypted_redis_is_checked():
    server = ValkeyServer(tcp=True)
    server.start()
    password, port = server.url.split("@")[0], int(server.url.rpartition(":")[2].split("/")[0])
    try:
        with tls_proxy(CERTIFICATE, port) as tls_port:
            url = f"{password.replace('redis', 'rediss')}@localhost:{tls_port}/0"
            for options in (f"?ssl_ca_certs={CERTIFICATE}", "?ssl_cert_reqs=none"):
                connect(url + options)
                redis_connection(celery_server(url + options), POLICY).close()
            with pytest.raises(CeleryFailed, match="CERTIFICATE_VERIFY_FAILED"):
                connect(url)
            with pytest.raises(CeleryFailed, match="CERTIFICATE_VERIFY_FAILED"):
                redis_connection(celery_server(url), POLICY)
    finally:
        server.close()


@pytest.mark.parametrize("scheme", ["amqp", "redis", "rediss", "amqps"])
def test_a_private_address_is_not_called_unless_it_is_allowed(scheme):
    with pytest.raises(CeleryFailed, match="may not be called") as failure:
        connect(f"{scheme}://127.0.0.1:1", broker_policy(Settings()))

    assert not failure.value.may_pass


def test_a_name_that_nobody_knows_may_be_known_later():
    with pytest.raises(CeleryFailed, match="cannot be found") as failure:
        connect("redis://broker.invalid")

    assert failure.value.may_pass


def test_a_server_that_speaks_no_amqp_is_named():
    with AmqpBroker(set()).serving() as broker, pytest.raises(CeleryFailed) as failure:
        connect(f"redis://127.0.0.1:{broker.port}")

    assert failure.value.detail.startswith(f"127.0.0.1:{broker.port} does not answer: ")
