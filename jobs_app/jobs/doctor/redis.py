"""Checks of Redis or Valkey: does it answer, is it safe, and is the prefix ours?"""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from redis import Redis
from redis.exceptions import ResponseError

from jobs_app.core import clock
from jobs_app.core.exposure import is_redis_open
from jobs_app.core.redis_client import redis_client
from jobs_app.core.settings import Settings
from jobs_app.jobs.doctor.clocks import Reading, reading
from jobs_app.jobs.doctor.findings import Finding, Level
from jobs_app.jobs.redbeat_entries import shared_prefix

#: How long one command to Redis may take, seconds.
SECONDS = 2.0


def connect(settings: Settings) -> Redis:
    """Return a client; raises ConfigurationError if no Redis is configured."""
    return redis_client(settings.redis_address, timeout_seconds=SECONDS, connect_seconds=SECONDS)


def unreachable(reason: str) -> Finding:
    """Return the error for a Redis that does not answer."""
    return Finding(
        "redis",
        Level.ERROR,
        f"Redis does not answer: {reason}. Fires are recorded, and no run starts.",
        "Start it, or set JOBS_REDIS_URL to where it is.",
    )


def refused(reason: str) -> Finding:
    """Return the error for a Redis that refuses this user or a command of it."""
    return Finding(
        "redis",
        Level.ERROR,
        f"Redis refuses the user of JOBS_REDIS_URL, or a command: {reason}.",
        "Correct the user and the password in JOBS_REDIS_URL, or give that user the rights in"
        " docs/servers.md.",
    )


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
