"""Clients of redis-py for the address in JOBS_REDIS_URL, with and without Sentinels."""

from typing import Any

from redis import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from redis.sentinel import Sentinel

from jobs_app.core.redis_address import RedisAddress


def redis_client(
    address: RedisAddress, *, timeout_seconds: float, connect_seconds: float
) -> "Redis":
    """Return a client that answers texts and tries nothing twice; it does not connect yet.

    With Sentinels each new connection asks them where Redis is, and one that finds a replica
    at its other end is closed. A call may take *timeout_seconds*, besides *connect_seconds*
    for each server that must be connected.
    """
    wire: dict[str, Any] = {
        "socket_timeout": timeout_seconds,
        "socket_connect_timeout": connect_seconds,
        # The callers have better things to do than to wait: they are told at once.
        "retry": Retry(NoBackoff(), 0),
    }
    if not address.is_socket:
        # It finds out that the other machine is gone; a unix socket refuses it.
        wire["socket_keepalive"] = True
    sentinels = address.sentinels
    if sentinels is None:
        return Redis.from_url(address.url, decode_responses=True, **address.tls, **wire)
    # Typed Any: redis-py has no types for it.
    make_sentinel: Any = Sentinel
    known = make_sentinel(
        list(sentinels.servers),
        sentinel_kwargs={**wire, **sentinels.credentials, **address.tls_options},
        db=address.database,
        decode_responses=True,
        **address.credentials,
        **address.tls_options,
        **wire,
    )
    client: Redis = known.master_for(sentinels.service)
    return client
