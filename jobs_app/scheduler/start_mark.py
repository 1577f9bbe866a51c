"""Marks the start of jobs-app once, in the first tick that can, so that jobs fire on it."""

import contextlib
import logging
import os
from datetime import datetime

from jobs_app.core import start_id
from jobs_app.core.errors import BrokerUnavailable
from jobs_app.db.engine import Database
from jobs_app.jobs import starts
from jobs_app.jobs.redbeat_entries import Projection

log = logging.getLogger(__name__)


class StartMark:
    """The mark of one scheduler process."""

    def __init__(self, database: Database, projection: Projection) -> None:
        self._database = database
        self._projection = projection
        self._is_done = False

    def mark(self, *, at: datetime) -> None:
        """Mark the start, unless this process has tried; raises the errors of the database.

        For after the first look at Redis, which finds out whose the entries there are.
        """
        if self._is_done:
            return
        with self._database.session() as session:
            jobs = starts.mark(session, start_id.read(os.environ), at=at)
        self._is_done = True
        if jobs:
            log.info("start_marked jobs=%s", len(jobs))
            # Without Redis, the scan of the rows finds them.
            with contextlib.suppress(BrokerUnavailable):
                self._projection.write(jobs)
