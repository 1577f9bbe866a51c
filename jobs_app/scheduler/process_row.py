"""The row of one scheduler process, in which readyz and people read that it ticks."""

import os
import socket
from datetime import datetime

from sqlalchemy import delete, update

from jobs_app import __version__
from jobs_app.core import reported_settings
from jobs_app.core.settings import Settings
from jobs_app.db.columns import new_run_id
from jobs_app.db.engine import Database
from jobs_app.db.models.processes import SchedulerProcess
from jobs_app.schedules import zone_data


class ProcessRow:
    """The row of this process; it is written with the first tick."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self._database = database
        self._settings = settings
        self._id = new_run_id()
        self._is_there = False

    def note(self, at: datetime, *, is_active: bool) -> None:
        """Note a tick at *at*; raises database errors."""
        values = {"ticked_at": at, "is_active": is_active}
        with self._database.session() as session, session.begin():
            if self._is_there:
                mine = update(SchedulerProcess).where(SchedulerProcess.id == self._id)
                session.execute(mine.values(**values))
            else:
                name = f"scheduler@{socket.gethostname()}"
                row = {"id": self._id, "name": name, "pid": os.getpid(), "started_at": at}
                process = SchedulerProcess(
                    **row,
                    **values,
                    tzdata=zone_data.version(),
                    version=__version__,
                    settings=reported_settings.of_scheduler(self._settings),
                )
                session.add(process)
        self._is_there = True

    def remove(self) -> None:
        """Delete the row: the process ends; raises database errors."""
        with self._database.session() as session, session.begin():
            session.execute(delete(SchedulerProcess).where(SchedulerProcess.id == self._id))
