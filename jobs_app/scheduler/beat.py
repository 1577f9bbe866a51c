"""The RedBeat scheduler that beat runs: it holds the lock, ticks and survives outages."""

import logging
import math
import time
from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID

from celery import Celery
from celery.signals import beat_init
from redbeat.schedulers import REDBEAT_REDIS_KEY, RedBeatScheduler, acquire_distributed_beat_lock
from redis.exceptions import RedisError
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from jobs_app.celery_app import JobsCelery
from jobs_app.core import clock, process
from jobs_app.core.errors import BrokerUnavailable
from jobs_app.core.redis_client import redis_client
from jobs_app.core.settings import Settings
from jobs_app.db import installation
from jobs_app.db.engine import Database
from jobs_app.db.errors import is_outage, with_sqlstate
from jobs_app.jobs.redbeat_entries import Projection, shared_prefix
from jobs_app.jobs.zone_changes import note_zones_in
from jobs_app.notifications.sender import Sender
from jobs_app.runs.messages import Message, publish
from jobs_app.scheduler.foreign_entries import ForeignEntries
from jobs_app.scheduler.heartbeat_monitor import HeartbeatMonitor
from jobs_app.scheduler.ignored_schedules import warn_of_ignored_schedules
from jobs_app.scheduler.janitor import Janitor
from jobs_app.scheduler.janitor_schedule import JanitorSchedule
from jobs_app.scheduler.lock import SchedulerLock, Taking
from jobs_app.scheduler.observers import Observers
from jobs_app.scheduler.process_row import ProcessRow
from jobs_app.scheduler.pruner import Pruner
from jobs_app.scheduler.pruner_thread import PrunerThread
from jobs_app.scheduler.redis_thread import RedisThread
from jobs_app.scheduler.start_mark import StartMark
from jobs_app.scheduler.tick import SCAN_SECONDS, Ticker

log = logging.getLogger(__name__)

#: The longest wait between two ticks: the janitor and the lock need them this often; seconds.
MAX_WAIT_SECONDS = 1.0

#: A standby scheduler records fires that are overdue for this long, seconds.
STAND_IN_SECONDS = 15.0

#: How often the log repeats that the prefix belongs to another installation, seconds.
FOREIGN_PREFIX_LOG_SECONDS = 60.0

#: The time to build and send a message on a slow machine, seconds.
SECONDS_PER_MESSAGE = 0.0005

#: How often our row says that we tick, seconds: "explain" gives a fire 5 s to be recorded.
NOTE_SECONDS = 3.0

#: A pause after an error of the database, seconds.
ERROR_WAIT_SECONDS = 1.0

# RedBeat takes its lock once, at the start, and waits for it there. A standby could then
# not run the janitor's rules, so we take the lock in the tick.
beat_init.disconnect(acquire_distributed_beat_lock)


class JobsScheduler(RedBeatScheduler):
    """RedBeat's scheduler, with the rows behind the entries.

    RedBeat's lock makes one process active, and the others stand by. The lock only saves
    work: two active schedulers would still record each fire once.
    """

    def __init__(self, app: Celery, lazy: bool = False, **kwargs: Any) -> None:
        # Redis may be down now: the entries of the user's beat_schedule are written later.
        self._are_statics_installed = False
        self._active_since: float | None = None
        self._parts_made = False
        super().__init__(app, lazy=lazy, **kwargs)
        if not lazy:
            self._make_parts(app)
        process.resume_gc()

    def setup_schedule(self) -> None:
        """Do nothing: the first tick that reaches Redis writes the static entries."""

    def _make_parts(self, app: Celery) -> None:
        if not isinstance(app, JobsCelery):
            raise TypeError("JobsScheduler needs the application of jobs_app.celery_app")
        settings = app.settings
        # It sends messages, so it needs a key; a first start may make one.
        app.signer.load(makes_key=True)
        self._settings = settings
        self._database = Database(settings.effective_database_url)
        self._redis = RedisThread()
        self._projection = Projection(settings, run_call=self._redis.run)
        self._observers = Observers(self._database, settings)
        counts, batch = self._observers.counts, settings.scheduler_batch
        self._ticker = Ticker(
            self._database, self._projection, self._publish, batch=batch, counts=counts
        )
        self._janitor = Janitor(
            self._database,
            self._projection,
            self._publish,
            HeartbeatMonitor(
                lost_seconds=settings.lost_seconds,
                most_step_seconds=min(5.0, settings.lost_seconds - settings.fence_seconds),
            ),
            queue_prefix=settings.redis_prefix,
        )
        self._janitor_schedule = JanitorSchedule(self._janitor, counts)
        self._start_mark = StartMark(self._database, self._projection)
        self._pruner = PrunerThread(
            Pruner(self._database, settings),
            lambda: self._active_since is not None,
            partial(note_zones_in, self._database),
        )
        self._pruner.start()
        warn_of_ignored_schedules(app, settings.import_modules, self._database)
        self._foreign_entries = ForeignEntries(
            self, are_allowed=settings.foreign_entries, run_call=self._redis.run
        )
        self._sender = Sender(self._database, settings, counts=counts)
        self._row = ProcessRow(self._database, settings)
        self._installation_id: UUID | None = None
        self._next_scan = self._next_note = self._next_extension = self._next_complaint = 0.0
        self._is_database_in_doubt = False
        self._lock = self._make_lock(app, settings)
        #: Another scheduler may have had the lock, and may have left messages unsent.
        self._must_take_over = True
        self._parts_made = True
        self._sender.start()
        self._observers.start()

    def _make_lock(self, app: Celery, settings: Settings) -> SchedulerLock:
        redis = redis_client(settings.redis_address, timeout_seconds=5, connect_seconds=2)
        # RedBeat would make a client of its own, which tries again and again with Sentinels.
        setattr(app, REDBEAT_REDIS_KEY, redis)
        return SchedulerLock(redis, self.lock_key, seconds=settings.scheduler_lock_seconds)

    def _publish(self, messages: Sequence[Message]) -> None:
        extra_seconds = len(messages) * SECONDS_PER_MESSAGE
        self._redis.run(partial(publish, self.app, messages), extra_seconds=extra_seconds)

    def tick(self, *_: object, **__: object) -> float:
        """Process what is due and wait for the next fire; beat calls again at once.

        No error of Redis or of the database ends the loop.
        """
        at, monotonic = clock.now(), time.monotonic()
        try:
            next_due_at, is_redis_up = self._look_or_log(at, monotonic)
            self._start_mark.mark(at=at)
            self._janitor_schedule.run(at=at, monotonic=monotonic)
            self._note_tick(at, monotonic)
            self._observers.ticked(monotonic, is_active=self._active_since is not None)
        except (SQLAlchemyError, OSError, MemoryError) as error:
            cause = with_sqlstate(str(error).partition("\n")[0], error)
            log.error("database_unavailable error=%s", cause)
            self._stand_back()
            time.sleep(ERROR_WAIT_SECONDS)
            return 0.0
        self._wait(next_due_at, is_redis_up)
        return 0.0

    def _look_or_log(self, at: datetime, monotonic: float) -> tuple[datetime | None, bool]:
        """Look; an error in the data is logged, and stops neither the janitor nor the lock."""
        try:
            return self._look(at, monotonic)
        except Exception as error:
            if is_outage(error):
                raise
            log.exception("tick_failed")
            self._observers.tick_failed()
            return None, True

    def _look(self, at: datetime, monotonic: float) -> tuple[datetime | None, bool]:
        """Process what is due; return the next due instant, and whether Redis is up."""
        next_due_at: datetime | None = None
        is_redis_up = True
        try:
            if self._is_active(monotonic):
                if self._must_take_over:
                    self._janitor.take_over(at=at)
                    self._must_take_over = False
                next_due_at = self._look_at_redis(at)
        except (BrokerUnavailable, RedisError, OSError) as error:
            if self._active_since is not None:
                log.warning("redis_unavailable error=%s", error)
            is_redis_up = False
            self._step_down()
        if not is_redis_up or self._projection.is_foreign:
            # No scheduler can hold the lock: all of them scan, and the rows decide. Redis may
            # have taken its time.
            at = clock.now()
            is_full = self._ticker.scan(at=at, due_before=at)
            next_due_at = at if is_full else self._ticker.next_due_at(after=at)
        elif self._active_since is not None and monotonic >= self._next_scan:
            self._next_scan = monotonic + SCAN_SECONDS
            self._ticker.scan(at=at, due_before=at - timedelta(seconds=SCAN_SECONDS / 2))
        elif self._active_since is None and monotonic >= self._next_scan:
            self._next_scan = monotonic + SCAN_SECONDS
            self._stand_in(at)
        return next_due_at, is_redis_up

    def _stand_in(self, at: datetime) -> None:
        """Record fires that are long overdue: the lock may belong to another installation.

        A copy of our database with the same prefix in the same Redis looks like ours.
        """
        jobs = self._ticker.stand_in(at=at, due_before=at - timedelta(seconds=STAND_IN_SECONDS))
        if jobs:
            log.warning(
                "fires_left_undone jobs=%s is another installation using JOBS_REDIS_PREFIX=%s?",
                jobs,
                self._settings.redis_prefix,
            )

    def _look_at_redis(self, at: datetime) -> datetime | None:
        if not self._are_statics_installed:
            self._redis.run(self._install_statics)
        ticked = self._ticker.tick(at=at)
        if not ticked.is_projected:
            self._janitor.recover(at=at)
            # Until all entries are there, the rows say which jobs are due.
            self._ticker.scan(at=at, due_before=at)
            return at
        # An entry's score is in whole seconds, so it may be found up to a second too early.
        wait = self._foreign_entries.send(ticked.foreign)
        if ticked.is_full:
            return at
        again_at = None if wait is None else clock.now() + wait
        return min(filter(None, (again_at, ticked.next_due_at)), default=None)

    def _install_statics(self) -> None:
        super().setup_schedule()
        self._are_statics_installed = True

    def _is_active(self, monotonic: float) -> bool:
        """Take or extend the lock; False means that another scheduler has it."""
        if self._active_since is not None and monotonic < self._next_extension:
            return True
        if not self._owns_prefix(monotonic):
            if self._active_since is not None:
                self._step_down()
                self._release()
            return False
        if self._active_since is None:
            self._check_database()
        taking = self._redis.run(self._lock.take)
        self._must_take_over |= taking is not Taking.KEPT
        if taking is Taking.REFUSED:
            if self._active_since is not None:
                log.warning("scheduler_lost_lock")
                self._step_down()
            return False
        if self._active_since is None:
            log.info("scheduler_active")
            self._active_since = monotonic
            self._next_note = 0.0
        self._next_extension = monotonic + self._settings.scheduler_lock_seconds / 4
        return True

    def _owns_prefix(self, monotonic: float) -> bool:
        """Tell whether the lock and the entries belong to this installation; log if not."""
        if self._installation_id is None:
            with self._database.reading() as session:
                self._installation_id = installation.installation_id(session)
        if self._installation_id is None or self._projection.take_prefix(self._installation_id):
            return True
        if monotonic >= self._next_complaint:
            self._next_complaint = monotonic + FOREIGN_PREFIX_LOG_SECONDS
            log.error("redis_prefix_shared %s", shared_prefix(self._settings.redis_prefix))
        return False

    def _check_database(self) -> None:
        """If the database failed the last time, try it again; raises its errors."""
        if self._is_database_in_doubt:
            with self._database.reading() as session:
                session.execute(text("SELECT 1"))
            self._is_database_in_doubt = False

    def _stand_back(self) -> None:
        """Release the lock: another scheduler may reach the database if only our network is down.

        Without the database the active scheduler can do nothing.
        """
        self._is_database_in_doubt = True
        if self._active_since is not None:
            self._step_down()
            self._release()

    def _step_down(self) -> None:
        self._active_since = None
        self._next_note = 0.0

    def _note_tick(self, at: datetime, monotonic: float) -> None:
        """Write to our row, now and then, that we tick; readyz and people read it there."""
        if monotonic < self._next_note:
            return
        self._next_note = monotonic + NOTE_SECONDS
        self._row.note(at, is_active=self._active_since is not None)

    def _wait(self, next_due_at: datetime | None, is_redis_up: bool) -> None:
        """Sleep until the next entry is due, or until a change wakes the scheduler."""
        due_in = math.inf if next_due_at is None else (next_due_at - clock.now()).total_seconds()
        seconds = min(due_in, MAX_WAIT_SECONDS)
        if seconds <= 0:
            return
        if not is_redis_up or self._active_since is None:
            time.sleep(seconds)
            return
        try:
            # For what is due later, another tick comes before.
            self._projection.wait(seconds, is_exact=due_in < 2 * seconds)
        except BrokerUnavailable:
            time.sleep(min(seconds, 0.2))

    def close(self) -> None:
        """Release the lock, so that a standby need not wait until it expires."""
        if not self._parts_made:
            return
        self._pruner.stop()
        self._sender.stop()
        self._observers.stop()
        self._step_down()
        # Also if we were not active: the answer to our last attempt may be lost.
        self._release()
        self._redis.close()
        self._sign_off()

    def _release(self) -> None:
        try:
            self._redis.run(self._lock.release)
        except (BrokerUnavailable, RedisError, OSError) as error:
            log.info("lock_not_released error=%s", error)

    def _sign_off(self) -> None:
        try:
            self._row.remove()
        except SQLAlchemyError as error:
            log.info("scheduler_not_signed_off error=%s", error)
        self._parts_made = False
