"""The Redis of a simulation: it loses, doubles, reorders and refuses messages."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from jobs_app.core.errors import BrokerUnavailable
from jobs_app.db.models.jobs import Job
from jobs_app.jobs.redbeat_entries import Projection
from jobs_app.runs.messages import Message
from tests.simulation.stage import Stage, Violation


class FakeRedis(Projection):
    """Entries and messages in flight; the loss of any of them may only cost time."""

    def __init__(self, stage: Stage, is_on_record: Callable[[UUID, int], bool]) -> None:
        self._stage = stage
        self._is_on_record = is_on_record
        self.entries: dict[int, float] = {}
        self.is_marked = self.is_rebuilding = False
        self.queue: list[Message] = []
        #: Everything that was ever sent: the network may bring it once more.
        self.sent: list[Message] = []
        #: Runs whose message was refused.
        self.unsent: set[UUID] = set()
        self.down_until = 0.0

    # Messages

    def publish(self, messages: Iterable[Message]) -> None:
        """Take *messages*, some of them, or some of them twice."""
        messages = list(messages)
        if messages:
            self._stage.on_publish()
        for message in messages:
            if not self._is_on_record(message.run_id, message.attempt):
                raise Violation(f"sent before it was recorded: {message}")
        try:
            self._send(messages)
        except BrokerUnavailable:
            self.unsent.update(message.run_id for message in messages)
            raise

    def _send(self, messages: list[Message]) -> None:
        self._reach("PUBLISH")
        for message in messages:
            if self._stage.happens(self._stage.fault_rates.lost):
                self._stage.note("loses a message")
                continue
            self._take(message)
            if self._stage.happens(self._stage.fault_rates.doubled):
                self._take(message)
            if self._stage.happens(self._stage.fault_rates.no_redis):
                raise BrokerUnavailable("simulated: gone in the middle of it")

    def _take(self, message: Message) -> None:
        self.queue.append(message)
        self.sent.append(message)

    def next_message(self) -> Message | None:
        """Hand out a message, in any order, and now and then one that was handed out before."""
        if self.is_down():
            return None
        fault_rates, random = self._stage.fault_rates, self._stage.random
        if self.sent and self._stage.happens(fault_rates.doubled / 2):
            return random.choice(self.sent)
        if not self.queue:
            return None
        return self.queue.pop(random.randrange(len(self.queue)))

    def queue_lengths(self, queues: Iterable[str], prefix: str) -> dict[str, int]:
        self._reach("LLEN")
        return {name: sum(message.queue == name for message in self.queue) for name in list(queues)}

    # Entries

    def key(self, job_id: int) -> str:
        return f"job:{job_id}"

    def job_id(self, key: str) -> int | None:
        return int(key.removeprefix("job:"))

    def write(self, jobs: Iterable[Job]) -> None:
        self._reach("write entries")
        self._write(jobs)

    def begin_rebuild(self) -> None:
        self._reach("begin to rebuild entries")
        self.is_rebuilding = True

    def rebuild(self, jobs: Iterable[Job]) -> None:
        self._reach("rebuild entries")
        self._write(jobs)

    def end_rebuild(self) -> bool:
        self._reach("end to rebuild entries")
        self.is_marked |= self.is_rebuilding
        is_whole, self.is_rebuilding = self.is_rebuilding, False
        return is_whole

    def write_scores(self, due: Mapping[int, datetime | None]) -> None:
        self._reach("write scores")
        for job_id, at in due.items():
            self._write_one(job_id, at)

    def due(
        self, *, at: datetime, limit: int, skip: int = 0
    ) -> tuple[list[str], datetime | None, bool]:
        self._reach("read due entries")
        now = at.timestamp()
        by_score = sorted((score, job_id) for job_id, score in self.entries.items())
        keys = [self.key(job_id) for score, job_id in by_score if score <= now]
        later = [score for score, _ in by_score if score > now]
        following = at + timedelta(seconds=later[0] - now) if later else None
        return keys[skip : skip + limit], following, self.is_marked

    def scan(self, cursor: int, *, count: int) -> tuple[int, list[int]]:
        self._reach("scan entries")
        return 0, list(self.entries)

    def scores_of(self, job_ids: Sequence[int]) -> dict[int, float]:
        self._reach("read scores")
        return {job_id: self.entries[job_id] for job_id in job_ids if job_id in self.entries}

    def wake(self) -> None:
        self._reach("wake")

    def flush(self) -> None:
        """Lose everything."""
        self._stage.note("FLUSHALL")
        self.entries.clear()
        self.queue.clear()
        self.is_marked = self.is_rebuilding = False

    def is_down(self) -> bool:
        return self._stage.now < self.down_until

    def _write(self, jobs: Iterable[Job]) -> None:
        for job in jobs:
            self._write_one(job.id, job.next_due_at)

    def _write_one(self, job_id: int, at: datetime | None) -> None:
        if at is None:
            self.entries.pop(job_id, None)
        else:
            self.entries[job_id] = at.timestamp()

    def _reach(self, what: str) -> None:
        stage = self._stage
        if stage.current.is_in_transaction:
            raise Violation(f"Redis is called inside a transaction: {what}")
        stage.point(f"redis: {what}")
        if stage.happens(stage.fault_rates.flush):
            self.flush()
        if stage.happens(stage.fault_rates.no_redis):
            self.down_until = stage.now + stage.random.choice((0.1, 5.0, 60.0))
            stage.note("Redis is down")
        if stage.current is not stage.main and self.is_down():
            raise BrokerUnavailable("simulated")
