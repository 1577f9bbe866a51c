"""The servers that the Sentinels of JOBS_REDIS_URL name: they are our own, as the Sentinels are."""

import logging
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError
from redis.retry import Retry

from jobs_app.core.network_allowlist import OwnServer
from jobs_app.core.redis_address import Sentinels

log = logging.getLogger(__name__)

#: How long an answer of the Sentinels, or their silence, is good for; seconds.
FRESH_SECONDS = 10.0

#: How long a connection to one Sentinel, and each command, may take; seconds.
SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class _Answer:
    """All servers that were ever named, None if no Sentinel has answered yet, and when."""

    servers: tuple[OwnServer, ...] | None
    asked_at: float


_answers: dict[Sentinels, _Answer] = {}


def named_servers(
    sentinels: Sentinels, tls_options: Mapping[str, Any]
) -> tuple[OwnServer, ...] | None:
    """Return the master, the replicas and the Sentinels that *sentinels* name.

    None while none of them has ever answered this process. A server that was named once stays
    ours. It may take SECONDS for each Sentinel, once in FRESH_SECONDS.
    """
    # Without a lock: two threads may ask at once, and either answer is right. A process that is
    # forked inherits no lock that somebody holds.
    before = _answers.get(sentinels)
    if before is not None and time.monotonic() - before.asked_at < FRESH_SECONDS:
        return before.servers
    found = _ask(sentinels, tls_options)
    if before is not None and before.servers is not None:
        found = tuple(dict.fromkeys((*(found or ()), *before.servers)))
    _answers[sentinels] = _Answer(found, time.monotonic())
    return found


def _ask(sentinels: Sentinels, tls_options: Mapping[str, Any]) -> tuple[OwnServer, ...] | None:
    """Return what the first Sentinel that answers names; None if none does."""
    options: dict[str, Any] = {**sentinels.credentials, **tls_options}
    for host, port in sentinels.servers:
        sentinel = Redis(
            host=host,
            port=port,
            decode_responses=True,
            socket_timeout=SECONDS,
            socket_connect_timeout=SECONDS,
            retry=Retry(NoBackoff(), 0),
            **options,
        )
        try:
            return tuple(dict.fromkeys(_named(sentinel, sentinels.service)))
        except (RedisError, OSError) as error:
            log.debug("sentinel_not_asked host=%s port=%d error=%s", host, port, type(error))
        finally:
            sentinel.close()
    return None


def _named(sentinel: Any, service: str) -> Iterator[OwnServer]:
    """Yield the servers that *sentinel* names; none of a service that it does not know."""
    if master := sentinel.execute_command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", service):
        yield OwnServer("JOBS_REDIS_URL", str(master[0]), int(master[1]))
    for ask in (sentinel.sentinel_slaves, sentinel.sentinel_sentinels):
        try:
            states = ask(service)
        except ResponseError:
            # Its user may not ask that: what clients need is the address of the master.
            continue
        for state in states:
            yield OwnServer("JOBS_REDIS_URL", str(state["ip"]), int(state["port"]))
