"""RedBeat entries that are not jobs: those of a `beat_schedule`, and those of somebody else.

The first are in the user's code. The others are only in Redis, so they fire by permission
only: whoever can write to Redis would otherwise start tasks.
"""

import logging
from collections.abc import Iterable
from datetime import timedelta
from functools import partial
from typing import Any

from redbeat.schedulers import RedBeatScheduler, get_redis
from redis.exceptions import RedisError

from jobs_app.jobs.redbeat_entries import RunCall, run_here

log = logging.getLogger(__name__)

#: At most so many names of entries are in the warning.
MOST_NAMES = 10


class ForeignEntries:
    """Sends the due entries of *scheduler* that are not jobs, as stock RedBeat would."""

    def __init__(
        self, scheduler: RedBeatScheduler, *, are_allowed: bool, run_call: RunCall = run_here
    ) -> None:
        self._scheduler = scheduler
        self._app = scheduler.app
        self._are_allowed = are_allowed
        self._run_call = run_call
        self._is_warned = False

    def send(self, keys: Iterable[str]) -> timedelta | None:
        """Send the entries that are due; return the time until the next of them is.

        None: there is none. Raises the errors of Redis; all others are logged.
        """
        prefix = self._app.redbeat_conf.key_prefix
        by_name = {key.removeprefix(prefix): key for key in keys}
        statics = self._app.redbeat_conf.schedule
        ignored = [name for name in by_name if not (self._are_allowed or name in statics)]
        if ignored and not self._is_warned:
            self._warn(ignored)
        waits = [
            self._run_call(partial(self._send, key, name, statics.get(name)))
            for name, key in by_name.items()
            if self._are_allowed or name in statics
        ]
        return min((timedelta(seconds=wait) for wait in waits if wait is not None), default=None)

    def _send(self, key: str, name: str, static: dict[str, Any] | None) -> float | None:
        """Send one entry if it is due; return the seconds until it is due again."""
        try:
            entry = self._scheduler.Entry.from_key(key, app=self._app)
            if static is not None:
                entry = self._as_in_code(name, static, entry)
            is_due, seconds = entry.is_due()
            if is_due:
                self._scheduler.maybe_due(entry, producer=self._scheduler.producer)
            return float(seconds)
        except KeyError:
            get_redis(self._app).zrem(self._app.redbeat_conf.schedule_key, key)
        except (RedisError, OSError):
            raise
        except Exception:
            log.exception("foreign_entry_failed key=%s", key)
        return None

    def _as_in_code(self, name: str, static: dict[str, Any], stored: Any) -> Any:
        """Return the entry of a `beat_schedule` as the code has it: Redis may say otherwise."""
        entry = self._scheduler.Entry(**dict(static, name=name, app=self._app))
        entry.last_run_at, entry.total_run_count = stored.last_run_at, stored.total_run_count
        return entry

    def _warn(self, names: list[str]) -> None:
        self._is_warned = True
        log.warning(
            "foreign_entries_ignored count=%s names=%s RedBeat entries that are not jobs fire "
            "with JOBS_FOREIGN_ENTRIES=true only",
            len(names),
            names[:MOST_NAMES],
        )
