"""Each client of Redis follows the address: it checks certificates, and asks Sentinels."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
from redbeat.schedulers import get_redis
from redis.exceptions import RedisError

from jobs_app.celery_app import make_celery
from jobs_app.core.errors import BrokerUnavailable
from jobs_app.core.redis_client import redis_client
from jobs_app.core.settings import Settings
from jobs_app.db.columns import new_run_id
from jobs_app.jobs.doctor import redis as doctor
from jobs_app.jobs.redbeat_entries import Projection
from jobs_app.runs.messages import Message, publish
from tests.redis_servers import PASSWORD, Watched
from tests.servers import ValkeyServer
from tests.tasks.tls_proxy import tls_proxy

CERTIFICATE = Path(__file__).parents[1] / "tasks" / "builtin" / "localhost.pem"


@pytest.fixture(scope="module")
def encrypted() -> Iterator[str]:
    """The address of a Redis with TLS, whose authority is unknown to this machine."""
    server = ValkeyServer(tcp=True)
    server.start()
    port = urlsplit(server.url).port
    assert port is not None
    with tls_proxy(CERTIFICATE, port) as tls_port:
        user = server.url.partition("@")[0].replace("redis:", "rediss:")
        yield f"{user}@localhost:{tls_port}/0"
    server.close()


@contextmanager
def own_settings(url: str, data_dir: Path) -> Iterator[Settings]:
    yield Settings(redis_url=url, redis_prefix=f"test-{uuid4()}:", data_dir=data_dir)


def look(settings: Settings) -> None:
    """Write something with the client of the entries."""
    projection = Projection(settings, timeout_seconds=2)
    try:
        projection.probe()
    finally:
        projection.close()


def send(settings: Settings) -> None:
    """Send a message with kombu, and find it where it belongs."""
    app = make_celery(settings)
    app.signer.load(makes_key=True)
    with app.connection_for_write() as connection:
        # It tries once, where `publish` would try for seconds.
        connection.channel().close()
    publish(app, [Message(new_run_id(), 1, "sleep", "default")])
    projection = Projection(settings)
    assert projection.queue_lengths(["default"], settings.redis_prefix) == {"default": 1}
    projection.close()
    app.close()


def ping_with_redbeat(settings: Settings) -> None:
    """Ask with RedBeat's own client."""
    assert get_redis(make_celery(settings)).ping()


def examine(settings: Settings) -> None:
    """Ask with the doctor's client."""
    with doctor.connect(settings) as client:
        assert client.ping()


CLIENTS = pytest.mark.parametrize("use", [look, send, ping_with_redbeat, examine])


@CLIENTS
def test_a_certificate_is_checked_by_each_client(
    encrypted: str, tmp_path: Path, use: Callable[[Settings], None]
) -> None:
    for options in (f"?ssl_ca_certs={CERTIFICATE}", "?ssl_cert_reqs=none"):
        with own_settings(encrypted + options, tmp_path) as settings:
            use(settings)

    unknown = own_settings(encrypted, tmp_path)
    errors = (BrokerUnavailable, RedisError)
    with unknown as settings, pytest.raises(errors, match="CERTIFICATE_VERIFY_FAILED"):
        use(settings)


@pytest.fixture(scope="module")
def watched() -> Iterator[Watched]:
    """A Redis with one Sentinel."""
    group = Watched(1, with_replica=False)
    with group.running():
        yield group


@CLIENTS
def test_sentinels_are_asked_by_each_client(
    watched: Watched, tmp_path: Path, use: Callable[[Settings], None]
) -> None:
    with own_settings(watched.url, tmp_path) as settings:
        use(settings)


def test_a_wrong_password_or_an_unknown_service_is_an_error_of_redis(
    watched: Watched, tmp_path: Path
) -> None:
    for right, wrong in ((PASSWORD, "no"), ("/jobs/", "/other/")):
        with own_settings(watched.url.replace(right, wrong), tmp_path) as settings:
            client = redis_client(settings.redis_address, timeout_seconds=2, connect_seconds=2)
            with pytest.raises(RedisError):
                client.ping()
            client.close()
