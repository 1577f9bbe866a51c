"""Connections to the servers of other people's Celery, at addresses that were checked.

Calls block for as long as the server lets them, within CONNECT_SECONDS and IO_SECONDS for
each step. Every error of the libraries is a CeleryFailed.
"""

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

from kombu import Connection
from redis import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from jobs_app.core.text import reason_of
from jobs_app.tasks.celery_server import REDIS, CeleryServer
from jobs_app.tasks.context import CeleryFailed, HttpFailed
from jobs_app.tasks.network_policy import NetworkPolicy

CONNECT_SECONDS = 10.0
IO_SECONDS = 10.0

#: RabbitMQ and we tell each other so often that we are there, seconds.
HEARTBEAT_SECONDS = 30

T = TypeVar("T")


def broker_connection(broker: CeleryServer, policy: NetworkPolicy) -> Connection:
    """Return an open connection to *broker*; raises CeleryFailed."""
    return _connected(broker, policy, lambda host: _open_broker(broker, host))


def redis_connection(server: CeleryServer, policy: NetworkPolicy) -> "Redis":
    """Return a client whose server has answered; raises CeleryFailed."""
    return _connected(server, policy, lambda host: _open_redis(server, host))


def no_answer(server: CeleryServer, error: Exception) -> CeleryFailed:
    """Return the error of a run for *error*, which a library has raised."""
    return CeleryFailed(f"{server.address} does not answer: {reason_of(error)}.", may_pass=True)


def _connected(server: CeleryServer, policy: NetworkPolicy, call: Callable[[str], T]) -> T:
    """Return what *call* returns for the first of the server's addresses that answers."""
    try:
        addresses = asyncio.run(policy.checked_addresses(server.host, server.port))
    except HttpFailed as error:
        raise CeleryFailed(error.detail, may_pass=error.may_pass) from None
    failure: Exception = OSError("it has no address")
    for address in addresses:
        try:
            return call(server.host_to_call(str(address)))
        # Beside its own errors, each library lets through those of sockets and of TLS.
        except Exception as error:  # noqa: BLE001
            failure = error
    raise no_answer(server, failure) from failure


def _open_broker(server: CeleryServer, host: str) -> Connection:
    if server.kind == REDIS:
        options: dict[str, Any] = {
            "socket_connect_timeout": CONNECT_SECONDS,
            "socket_timeout": IO_SECONDS,
            "global_keyprefix": server.key_prefix,
        }
    else:
        options = {
            "confirm_publish": True,
            "read_timeout": IO_SECONDS,
            "write_timeout": IO_SECONDS,
        }
        host = f"[{host}]" if ":" in host else host
    connection = Connection(
        hostname=host,
        port=server.port,
        userid=server.user,
        password=server.password,
        virtual_host=server.path,
        transport="redis" if server.kind == REDIS else "pyamqp",
        ssl=server.tls() or False,
        connect_timeout=CONNECT_SECONDS,
        heartbeat=HEARTBEAT_SECONDS,
        transport_options=options,
    )
    try:
        # Once: the caller decides about a second try.
        connection.ensure_connection(max_retries=0, reraise_as_library_errors=False)
    except Exception:
        connection.release()
        raise
    return connection


def _open_redis(server: CeleryServer, host: str) -> "Redis":
    client = Redis(
        host=host,
        port=server.port,
        db=int(server.path),
        username=server.user,
        password=server.password,
        socket_connect_timeout=CONNECT_SECONDS,
        socket_timeout=IO_SECONDS,
        retry=Retry(NoBackoff(), 0),
        ssl=server.is_encrypted,
        **(server.tls() or {}),
    )
    try:
        client.ping()
    except Exception:
        client.close()
        raise
    return client
