"""Runs the janitor's rules, each in its own period."""

import logging
import time
from collections.abc import Callable
from datetime import datetime

from jobs_app.core.errors import BrokerUnavailable
from jobs_app.db.counters import PendingCounts
from jobs_app.db.errors import is_outage
from jobs_app.scheduler.janitor import Janitor
from jobs_app.scheduler.pending_work import Work

log = logging.getLogger(__name__)

#: The counter of what the rules have mended, by rule.
JANITOR = "janitor_actions"

#: Time that the rules may take together before the next tick, seconds.
BUDGET_SECONDS = 0.3


class JanitorSchedule:
    """Runs the janitor's rules when they are due; one that fails does not stop the others."""

    def __init__(self, janitor: Janitor, counts: PendingCounts) -> None:
        self._janitor = janitor
        self._rules = janitor.rules()
        self._counts = counts
        for rule in self._rules:
            # Prometheus sees an increase only of a counter that was there before.
            counts.add(JANITOR, rule.name, 0)
        self._due: list[float] = []

    def run(
        self, *, at: datetime, monotonic: float, now: Callable[[], float] = time.monotonic
    ) -> None:
        """Run the rules that are due, as many as there is time for before the next tick.

        Raises if the database is out of reach. *now* measures how long they take.
        """
        began = now()
        if not self._due:
            self._due = [monotonic] * len(self._rules)
        pending: frozenset[Work] | None = None
        # The most overdue rule runs first: each gets its turn, however slow the database is.
        for index in sorted(range(len(self._rules)), key=self._due.__getitem__):
            if monotonic < self._due[index] or now() - began > BUDGET_SECONDS:
                return
            rule = self._rules[index]
            self._due[index] = monotonic + rule.seconds
            try:
                if rule.work is not None:
                    # One statement for all of them: most seconds have no work.
                    pending = self._pending_work(at) if pending is None else pending
                    if rule.work not in pending:
                        continue
                if mended := rule.apply(at, monotonic):
                    self._counts.add(JANITOR, rule.name, mended)
                    # A change of one may be work for another.
                    pending = None
            except BrokerUnavailable as error:
                log.debug("janitor_waits_for_redis error=%s", error)
            except Exception as error:
                if is_outage(error):
                    raise
                # A row that cannot be read must not stop the other rules.
                log.exception("janitor_rule_failed")

    def _pending_work(self, at: datetime) -> frozenset[Work]:
        """Return the kinds of work that there is; all of them if that cannot be read."""
        try:
            return self._janitor.pending_work(at=at)
        except Exception as error:
            if is_outage(error):
                raise
            log.exception("pending_work_unknown")
            return frozenset(Work)
