"""Runs whose id begins with what a person typed."""

import re
from typing import NamedTuple, Self
from uuid import UUID

from sqlalchemy import select

from jobs_app.db.models.runs import Run
from jobs_app.db.run_indexes import Condition

DIGITS = 32
#: The digits of a whole id with its hyphens.
MOST_CHARS = 36
#: Fewer digits would stand for all runs of hours: the first ones are the time of creation.
LEAST_DIGITS = 8
#: The most runs with one beginning that are looked at, the newest ones.
MOST = 10_000


class IdRange(NamedTuple):
    """The lowest and the highest id with a beginning."""

    low: UUID
    high: UUID

    @classmethod
    def read(cls, prefix: str) -> Self:
        """Return the ids that begin with *prefix*, in any case and with or without hyphens.

        Raises ValueError unless it has 8 to 32 hexadecimal digits in 36 characters.
        """
        digits = prefix.replace("-", "").lower()
        is_prefix = re.fullmatch(f"[0-9a-f]{{{LEAST_DIGITS},{DIGITS}}}", digits)
        if is_prefix is None or len(prefix) > MOST_CHARS:
            raise ValueError(f"{prefix!r} is not the beginning of an id")
        return cls(UUID(digits.ljust(DIGITS, "0")), UUID(digits.ljust(DIGITS, "f")))

    @property
    def condition(self) -> Condition:
        """The condition that a run has one of these ids."""
        # Ordered by id, so that each database reads the range of the primary key and sorts few.
        newest = select(Run.id).where(Run.id >= self.low, Run.id <= self.high)
        return Run.id.in_(newest.order_by(Run.id.desc()).limit(MOST).scalar_subquery())
