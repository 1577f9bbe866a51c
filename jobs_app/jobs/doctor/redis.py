"""Checks of Redis or Valkey: does it answer, is it safe, and is the prefix ours?"""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from redis import Redis
from redis.exceptions import (
    AuthenticationError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    ResponseError,
)

from jobs_app.core import clock
from jobs_app.core.exposure import is_redis_open
from jobs_app.core.redis_client import redis_client
from jobs_app.core.settings import Settings
from jobs_app.core.text import reason_of
from jobs_app.jobs.doctor.clocks import Reading, reading
from jobs_app.jobs.doctor.findings import Finding, Level
from jobs_app.jobs.redbeat_entries import shared_prefix

#: How long one command to Redis may take, seconds.
SECONDS = 2.0


def connect(settings: Settings) -> Redis:
    """Return a client; raises ConfigurationError if no Redis is configured."""
    return redis_client(settings.redis_address, timeout_seconds=SECONDS, connect_seconds=SECONDS)


def not_configured(reason: str) -> Finding:
    """Return the error for settings that name no Redis."""
    return Finding(
        "redis",
        Level.ERROR,
        f"{reason}. Fires are recorded, and no run starts.",
        "Set JOBS_REDIS_URL, as in redis://USER:PASSWORD@HOST, or start jobs-app up, which has a"
        " Valkey of its own.",
    )


def unreachable(reason: str) -> Finding:
    """Return the error for a Redis that does not answer."""
    return Finding(
        "redis",
        Level.ERROR,
        f"Redis does not answer: {reason}. Fires are recorded, and no run starts.",
        "Start it, or set JOBS_REDIS_URL to where it is: redis://HOST:PORT, or rediss:// if that"
        " port has TLS.",
    )


def refused(error: Exception, settings: Settings) -> Finding:
    """Return the error for a Redis that refuses this user or a command of it."""
    reason = reason_of(error)
    if isinstance(error, AuthenticationError) and is_redis_open(settings):
        return Finding(
            "redis",
            Level.ERROR,
            "Redis wants a password, and JOBS_REDIS_URL has none. Fires are recorded, and no run"
            " starts.",
            "Put it into JOBS_REDIS_URL: redis://USER:PASSWORD@HOST, or redis://:PASSWORD@HOST.",
        )
    if "protected mode" in reason:
        return Finding(
            "redis",
            Level.ERROR,
            "Redis is in protected mode: without a password it takes no connections from other"
            " machines. Fires are recorded, and no run starts.",
            "Set requirepass or an ACL user in Redis, and put it into JOBS_REDIS_URL:"
            " redis://USER:PASSWORD@HOST.",
        )
    return Finding(
        "redis",
        Level.ERROR,
        f"Redis refuses the user of JOBS_REDIS_URL, or a command: {reason}.",
        "Correct the user and the password in JOBS_REDIS_URL, or give that user the rights in"
        " docs/servers.md.",
    )


#: What Redis answers to a write that it does not take, by the beginning, and what helps.
_REFUSED_WRITES = {
    "OOM": (
        "Redis is full (maxmemory), and takes no messages: runs start late.",
        "Raise maxmemory, or give jobs-app a Redis of its own.",
    ),
    "READONLY": (
        "This Redis is a replica, and takes no messages: runs start late.",
        "Set JOBS_REDIS_URL to the primary, or to its Sentinels: redis+sentinel://HOST/SERVICE/0.",
    ),
    "MISCONF": (
        "Redis cannot save to its disk, and therefore takes no messages: runs start late.",
        "Its log has the reason: make room on its disk, or give its user the right to write there.",
    ),
    "NOREPLICAS": (
        "Redis has fewer replicas than it wants (min-replicas-to-write), and takes no messages.",
        "Start the replicas again, or lower min-replicas-to-write.",
    ),
}


def writes(redis: Redis, prefix: str) -> Iterator[Finding]:
    """Yield an error if Redis takes no write: a key that is gone in a second."""
    try:
        redis.set(f"{prefix}probe", "1", px=1000)
    except NoPermissionError:
        raise
    except ResponseError as error:
        code = _code(error)
        if code not in _REFUSED_WRITES:
            raise
        yield Finding("redis_writes", Level.ERROR, *_REFUSED_WRITES[code])


def _code(error: ResponseError) -> str:
    """Return the code of an answer of Redis; redis-py takes some of them out of the text."""
    if isinstance(error, OutOfMemoryError):
        return "OOM"
    if isinstance(error, ReadOnlyError):
        return "READONLY"
    return str(error).partition(" ")[0]


def eviction(redis: Redis) -> Iterator[Finding]:
    """Yield a warning if Redis may drop keys when it is full."""
    try:
        memory: Any = redis.info("memory")
    except ResponseError:
        # The user may not ask; then nothing is known.
        return
    policy = memory.get("maxmemory_policy")
    if policy not in (None, "noeviction"):
        yield Finding(
            "redis_eviction",
            Level.WARNING,
            f"Redis drops keys when it is full (maxmemory-policy {policy}): messages of runs get"
            " lost, and start late.",
            "CONFIG SET maxmemory-policy noeviction, and the same in its configuration file.",
        )


def password(settings: Settings) -> Iterator[Finding]:
    """Yield a warning if whoever reaches Redis by the network may write to it."""
    if is_redis_open(settings):
        yield Finding(
            "redis_password",
            Level.WARNING,
            "JOBS_REDIS_URL has no password: whoever reaches Redis can delete messages and"
            " schedules.",
            "Set requirepass or an ACL user in Redis, and put it into JOBS_REDIS_URL:"
            " redis://USER:PASSWORD@HOST.",
        )


def prefix(redis: Redis, settings: Settings, installation_id: UUID | None) -> Iterator[Finding]:
    """Yield an error if another installation has the prefix."""
    owner = redis.get(f"{settings.redis_prefix}installation")
    if installation_id is not None and owner not in (None, str(installation_id)):
        yield Finding(
            "redis_prefix",
            Level.ERROR,
            shared_prefix(settings.redis_prefix),
            "Give one of the two another JOBS_REDIS_PREFIX.",
        )


def read_clock(redis: Redis) -> Reading | None:
    """Read the clock of Redis; None if the user may not."""
    try:
        # The first command of a connection is slow.
        redis.ping()
        before = clock.now()
        seconds, microseconds = redis.time()
    except ResponseError:
        return None
    after = clock.now()
    theirs = datetime.fromtimestamp(seconds, UTC).replace(microsecond=microseconds)
    return reading("Redis", theirs, before, after)
