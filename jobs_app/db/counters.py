"""Counters of /metrics in the database: several processes add to them, and none takes away."""

import threading
from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from jobs_app.db.engine import Database
from jobs_app.db.models.metrics import MetricCounter

#: The label of the sum of a histogram; its other labels are upper bounds of its buckets.
SUM = "sum"

#: The upper bounds of the buckets of waits, and of run times; seconds.
WAIT_BUCKETS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0, 1800.0)
DURATION_BUCKETS = (0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 14_400.0, 43_200.0)

#: The last bucket: what is longer than the last bound.
INFINITE = "+Inf"


class Key(NamedTuple):
    """A counter: its name, its job or 0, and the value of its label."""

    name: str
    job_id: int = 0
    label: str = ""


def bucket(bounds: tuple[float, ...], seconds: float) -> str:
    """Return the label of the bucket that *seconds* belong to."""
    index = bisect_left(bounds, seconds)
    return bucket_label(bounds[index]) if index < len(bounds) else INFINITE


def bucket_label(bound: float) -> str:
    """Return the label of the bucket with this upper bound."""
    return f"{bound:g}"


def add_to(session: Session, amounts: Mapping[Key, float]) -> None:
    """Add *amounts* to the counters, which begin at 0; does not commit."""
    # In one order: two processes that add to the same rows would else wait for each other.
    rows = [{**key._asdict(), "value": amount} for key, amount in sorted(amounts.items())]
    if not rows:
        return
    dialect = postgresql if session.get_bind().dialect.name == "postgresql" else sqlite
    insert = dialect.insert(MetricCounter)
    session.execute(
        insert.on_conflict_do_update(
            index_elements=["name", "job_id", "label"],
            set_={"value": MetricCounter.value + insert.excluded.value},
        ),
        rows,
    )


class PendingCounts:
    """What this process has counted and not written yet; threads may add at the same time.

    A process that is killed takes at most the last seconds of it along.
    """

    def __init__(self) -> None:
        self._amounts: Counter[Key] = Counter()
        self._lock = threading.Lock()

    def add(self, name: str, label: str = "", amount: int = 1) -> None:
        """Count *amount* events."""
        with self._lock:
            self._amounts[Key(name, 0, label)] += amount

    def observe(self, name: str, seconds: float, count: int = 1) -> None:
        """Count *count* waits of *seconds* in the histogram *name*."""
        seconds = max(seconds, 0.0)
        with self._lock:
            self._amounts[Key(name, 0, bucket(WAIT_BUCKETS, seconds))] += count
            # A Counter holds any numbers, whatever its type says.
            self._amounts[Key(name, 0, SUM)] += seconds * count  # type: ignore[assignment]

    def write(self, database: Database) -> None:
        """Add everything to the counters; if that fails, it is kept for the next time."""
        with self._lock:
            amounts, self._amounts = self._amounts, Counter()
        if not amounts:
            return
        try:
            with database.session() as session:
                add_to(session, amounts)
                session.commit()
        except BaseException:
            with self._lock:
                self._amounts.update(amounts)
            raise
