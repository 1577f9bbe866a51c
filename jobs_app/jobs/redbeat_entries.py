"""Jobs as RedBeat entries, and the wake-up: what Redis holds says only when to look.

An entry's score is the job's `next_due_at`; its definition tells RedBeat's own tools
what stands there. Losing all of it costs nothing but a look at the database.
"""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Protocol, TypeVar
from uuid import UUID

from redis.client import Pipeline
from redis.exceptions import RedisError, ResponseError

from jobs_app.core import redis_commands
from jobs_app.core.errors import BrokerUnavailable
from jobs_app.core.redis_client import redis_client
from jobs_app.core.settings import Settings
from jobs_app.db.models.jobs import Job
from jobs_app.jobs.redbeat_definition import ENTRY_PREFIX, META, definition

#: Redis looks ten times a second whose BLPOP has timed out: it may wait this much longer.
BLOCKING_INACCURACY_SECONDS = 0.11

#: A prefix is free again when whoever used it has not been heard of for so long, seconds.
OWNER_SECONDS = 60

#: Takes a free prefix, and keeps one's own; returns whose it is.
TAKE_PREFIX = """
local owner = redis.call('get', KEYS[1])
if owner and owner ~= ARGV[1] then
    return owner
end
redis.call('set', KEYS[1], ARGV[1], 'ex', ARGV[2])
return ARGV[1]
"""

#: How often a wake-up is looked for at the end of a wait, seconds.
LOOK_SECONDS = 0.01


T = TypeVar("T")


class RunCall(Protocol):
    """Runs a call to Redis, perhaps in another thread, and returns its result.

    The call may take *extra_seconds* more than calls usually take.
    """

    def __call__(self, command: Callable[[], T], /, *, extra_seconds: float = 0.0) -> T: ...


def run_here(command: Callable[[], T], /, *, extra_seconds: float = 0.0) -> T:
    """Run a call in the thread of its caller, however long it takes."""
    return command()


class Projection:
    """The entries of one installation in its Redis.

    Every method raises BrokerUnavailable when Redis cannot be reached. While `is_foreign`,
    the entries under the prefix are another installation's: those methods that would read
    them raise it too, and nothing is written.
    """

    def __init__(
        self, settings: Settings, *, timeout_seconds: float = 5, run_call: RunCall = run_here
    ) -> None:
        self._run_call = run_call
        self._redis = redis_client(
            settings.redis_address,
            timeout_seconds=timeout_seconds,
            connect_seconds=min(timeout_seconds, 2),
        )
        self._prefix = settings.redis_prefix
        self._entries = f"{settings.redis_prefix}redbeat:"
        self.schedule_key = f"{self._entries}:schedule"
        self.wakeup_key = f"{settings.redis_prefix}wakeup"
        self.marker_key = f"{settings.redis_prefix}projected"
        self.rebuild_key = f"{settings.redis_prefix}projecting"
        self.owner_key = f"{settings.redis_prefix}installation"
        self._take_prefix: Callable[..., str] = self._redis.register_script(TAKE_PREFIX)
        self.is_foreign = False

    def take_prefix(self, installation_id: UUID) -> bool:
        """Note whose the prefix is, if nobody has, and keep the note; False if it is not ours.

        FLUSHALL takes the note away too: it is then whose scheduler is first.
        """
        arguments = [str(installation_id), OWNER_SECONDS]
        take = partial(self._take_prefix, keys=[self.owner_key], args=arguments)
        self._note_owner(self._run(take), installation_id)
        return not self.is_foreign

    def look_at_prefix(self, installation_id: UUID) -> bool:
        """Return whether the prefix is ours, or nobody's; writes nothing."""
        pipe = self._redis.pipeline(transaction=False)
        pipe.get(self.owner_key)
        self._note_owner(self._execute(pipe)[-1], installation_id)
        return not self.is_foreign

    def _note_owner(self, owner: str | None, installation_id: UUID) -> None:
        self.is_foreign = owner not in (None, str(installation_id))

    def key(self, job_id: int) -> str:
        """Return the key of a job's entry."""
        return f"{self._entries}{ENTRY_PREFIX}{job_id}"

    def job_id(self, key: str) -> int | None:
        """Return the job that *key* stands for; None for an entry of somebody else."""
        own, _, number = key.rpartition(ENTRY_PREFIX)
        return int(number) if own == self._entries and number.isdigit() else None

    def write(self, jobs: Iterable[Job]) -> None:
        """Write or remove the entries of *jobs* as their rows say, and wake the scheduler."""
        if self.is_foreign:
            return
        pipe = self._redis.pipeline(transaction=False)
        for job in jobs:
            self._add(pipe, job)
        self._add_wakeup(pipe)
        self._execute(pipe)

    def begin_rebuild(self) -> None:
        """Note in Redis that all entries are being written."""
        if not self.is_foreign:
            self._run(partial(self._redis.set, self.rebuild_key, "1"))

    def rebuild(self, jobs: Iterable[Job]) -> None:
        """Write the entries of *jobs*, and wake nobody."""
        if self.is_foreign:
            return
        pipe = self._redis.pipeline(transaction=False)
        for job in jobs:
            self._add(pipe, job)
        self._execute(pipe)

    def end_rebuild(self) -> bool:
        """Set the mark that all entries are there; False if Redis lost some since the beginning."""
        if self.is_foreign:
            return False
        try:
            # The note is lost with the entries, and then there is no mark either.
            self._run(partial(self._redis.rename, self.rebuild_key, self.marker_key))
        except BrokerUnavailable as error:
            if isinstance(error.__cause__, ResponseError) and "no such key" in str(error):
                return False
            raise
        return True

    def write_scores(self, due: Mapping[int, datetime | None]) -> None:
        """Move entries to their next due instants; None removes the entry."""
        if not due or self.is_foreign:
            return
        commands: list[tuple[str, ...]] = []
        scores = [
            word
            for job_id, at in due.items()
            if at is not None
            for word in (repr(at.timestamp()), self.key(job_id))
        ]
        if scores:
            commands.append(("ZADD", self.schedule_key, *scores))
        over = [self.key(job_id) for job_id, at in due.items() if at is None]
        if over:
            commands += [("ZREM", self.schedule_key, *over), ("DEL", *over)]
        self._run(partial(redis_commands.execute, self._redis.connection_pool, commands))

    def due(
        self, *, at: datetime, limit: int, skip: int = 0
    ) -> tuple[list[str], datetime | None, bool]:
        """Return the due keys, the next score after *at*, and whether the mark is there.

        At most *limit* keys, lowest score first, the first *skip* of them left out.
        """
        now = at.timestamp()
        pipe = self._redis.pipeline(transaction=False)
        pipe.zrangebyscore(self.schedule_key, 0, now, start=skip, num=limit)
        pipe.zrangebyscore(self.schedule_key, f"({now}", "+inf", start=0, num=1, withscores=True)
        pipe.exists(self.marker_key)
        keys, following, marked = self._execute(pipe)
        after = at + timedelta(seconds=following[0][1] - now) if following else None
        return keys, after, bool(marked)

    def scan(self, cursor: int, *, count: int) -> tuple[int, list[int]]:
        """Return the jobs of about *count* entries, and the cursor of the next ones.

        A scan begins with the cursor 0, and has ended when it is 0 again.
        """
        self._refuse_foreign()
        scan = partial(self._redis.zscan, self.schedule_key, cursor=cursor, count=count)
        # Typed Any: redis-py's annotation is a union with its asynchronous client.
        answer: Any = self._run(scan)
        following, page = answer
        job_ids = (self.job_id(key) for key, _ in page)
        return following, [job_id for job_id in job_ids if job_id is not None]

    def scores_of(self, job_ids: Sequence[int]) -> dict[int, float]:
        """Return the scores of the entries of *job_ids*, as far as there are any."""
        if not job_ids:
            return {}
        self._refuse_foreign()
        pipe = self._redis.pipeline(transaction=False)
        pipe.zmscore(self.schedule_key, [self.key(job_id) for job_id in job_ids])
        (scores,) = self._execute(pipe)
        pairs = zip(job_ids, scores, strict=True)
        return {job_id: score for job_id, score in pairs if score is not None}

    def wake(self) -> None:
        """Make the active scheduler look now."""
        if self.is_foreign:
            return
        pipe = self._redis.pipeline(transaction=False)
        self._add_wakeup(pipe)
        self._execute(pipe)

    def wait(self, seconds: float, *, is_exact: bool = True) -> bool:
        """Wait for a wake-up, at most *seconds*; return whether one came.

        One that need not be exact is one call, and may take BLOCKING_INACCURACY_SECONDS longer.
        """
        call = self._await_wakeup if is_exact else self._block
        return self._run(partial(call, seconds), extra_seconds=seconds)

    def _await_wakeup(self, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        blocking = seconds - BLOCKING_INACCURACY_SECONDS
        if blocking > 0 and self._block(blocking):
            return True
        while self._redis.lpop(self.wakeup_key) is None:
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            time.sleep(min(left, LOOK_SECONDS))
        return True

    def _block(self, seconds: float) -> bool:
        return self._redis.blpop([self.wakeup_key], timeout=seconds) is not None

    def probe(self) -> None:
        """Write something that is gone in a second: a full Redis answers, and takes nothing."""
        pipe = self._redis.pipeline(transaction=False)
        pipe.set(f"{self._prefix}probe", "1", px=1000)
        self._execute(pipe)

    def eviction_policy(self) -> str | None:
        """Return the server's `maxmemory-policy`; None if it does not tell this user."""
        pipe = self._redis.pipeline(transaction=False)
        pipe.info("memory")
        try:
            policy: str | None = self._execute(pipe)[0].get("maxmemory_policy")
        except BrokerUnavailable as error:
            if isinstance(error.__cause__, ResponseError):
                return None
            raise
        return policy

    def queue_lengths(self, queues: Iterable[str], prefix: str) -> dict[str, int]:
        """Return how many messages lie in each of *queues*, over all priorities."""
        names = list(queues)
        pipe = self._redis.pipeline(transaction=False)
        for name in names:
            for suffix in ("", "\x06\x163", "\x06\x166", "\x06\x169"):
                pipe.llen(f"{prefix}{name}{suffix}")
        lengths = self._execute(pipe)
        return {name: sum(lengths[4 * i : 4 * i + 4]) for i, name in enumerate(names)}

    def _refuse_foreign(self) -> None:
        if self.is_foreign:
            raise BrokerUnavailable(shared_prefix(self._prefix))

    def _execute(self, pipe: Pipeline) -> list[Any]:
        return self._run(pipe.execute)

    def _run(self, command: Callable[[], T], *, extra_seconds: float = 0.0) -> T:
        try:
            return self._run_call(command, extra_seconds=extra_seconds)
        except (RedisError, OSError) as error:
            raise BrokerUnavailable(f"Redis: {error}") from error

    def close(self) -> None:
        """Close the connections."""
        self._redis.close()

    def _add(self, pipe: Pipeline, job: Job) -> None:
        key = self.key(job.id)
        if job.next_due_at is None:
            # Delete, not disable: RedBeat looks at a disabled entry every 5 seconds.
            pipe.zrem(self.schedule_key, key)
            pipe.delete(key)
        else:
            pipe.hset(key, mapping={"definition": definition(job), "meta": META})
            pipe.zadd(self.schedule_key, {key: job.next_due_at.timestamp()})

    def _add_wakeup(self, pipe: Pipeline) -> None:
        pipe.lpush(self.wakeup_key, "1")
        # One is enough, however many edits there are while nobody waits.
        pipe.ltrim(self.wakeup_key, 0, 0)


def shared_prefix(prefix: str) -> str:
    """Return what to do where another installation uses *prefix*, in a sentence."""
    return (
        f"Another installation uses this Redis with the prefix {prefix!r}: "
        "give this one a JOBS_REDIS_PREFIX of its own."
    )
