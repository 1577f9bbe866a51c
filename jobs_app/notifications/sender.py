"""Sends what is due: a thread in each scheduler process, beside the tick, never in its way.

1.  Once a second it asks which channels have something due.
2.  For each of them a thread takes one notification after the other, by compare-and-set
    on its row, and puts it into words.
3.  A process sends it, within ten seconds or not at all; no transaction is open meanwhile.
4.  The outcome goes onto the row. A sender that died before it leaves a row that is due
    again after a minute: it is sent twice rather than not at all, under the same id.
"""

import json
import logging
import threading
from collections.abc import Callable
from datetime import datetime
from typing import Any, Protocol

from sqlalchemy.exc import SQLAlchemyError

from jobs_app.core import clock
from jobs_app.core.errors import ConfigurationError
from jobs_app.core.settings import Settings
from jobs_app.core.states import Event
from jobs_app.db.engine import Database
from jobs_app.db.models.notifications import Notification, NotificationChannel
from jobs_app.notifications import history, message_data, messages, outbox, record
from jobs_app.notifications.outbox import ClaimedNotification, RateLimit
from jobs_app.notifications.sender_process import SenderProcess, SendRequest
from jobs_app.secrets.encryption import load_cipher

log = logging.getLogger(__name__)

#: How often the sender looks for what is due, seconds.
POLL_SECONDS = 1.0

#: How often it works out anew who hears what, in case a job and a channel changed at once,
#: and deletes what is old; seconds.
MAINTENANCE_SECONDS = 600.0

#: How often it looks for runs that are late, seconds.
LATE_SECONDS = 5.0

#: Channels that are served at the same time; one that hangs holds up nobody but itself.
MAX_CHANNELS_AT_ONCE = 4

CHANNEL_GONE = "The channel was deleted."
STARTED_IN_TIME = "Not sent: the run started before this channel wanted to hear of it."

_KINDS = {
    Event.FAILED: "failure",
    Event.LOST: "failure",
    Event.LATE: "warning",
    Event.MISSED: "warning",
    Event.PAUSED: "warning",
    Event.RECOVERED: "success",
    Event.SUCCEEDED: "success",
    Event.TEST: "info",
}


class MessageSender(Protocol):
    """What sends messages; see SenderProcess."""

    def send(self, order: SendRequest, /) -> str | None:
        """Send a message; return why it did not arrive, None if it did."""

    def interrupt(self) -> None:
        """Give up what another thread is sending, and send no more."""

    def close(self) -> None:
        """Let go of everything; for the thread that sends."""


class Sender:
    """The thread, and what it needs; `serve` is what it does for one channel."""

    def __init__(
        self,
        database: Database,
        settings: Settings,
        *,
        make_process: Callable[[Settings], MessageSender] = SenderProcess,
        now: Callable[[], datetime] = clock.now,
    ) -> None:
        self._database = database
        self._settings = settings
        self._make_process = make_process
        self._now = now
        self._rate_limit = RateLimit(settings.notify_per_minute, settings.notify_cool_down_seconds)
        self._stopping = threading.Event()
        self._busy: dict[int, MessageSender] = {}
        self._lock = threading.Lock()
        self._waits: dict[str, float] = {}

    def start(self) -> None:
        """Begin to look; the thread ends with its process, or with `stop`."""
        threading.Thread(target=self._run, name="sender", daemon=True).start()

    def stop(self) -> None:
        """Send no more; what is under way comes again, from another sender or the next start."""
        self._stopping.set()
        with self._lock:
            processes = list(self._busy.values())
        for process in processes:
            process.interrupt()

    def _run(self) -> None:
        while not self._stopping.wait(POLL_SECONDS):
            try:
                self.look()
                if self._is_time_for("late", LATE_SECONDS):
                    self.notify_late()
                if self._is_time_for("tidy", MAINTENANCE_SECONDS):
                    self._tidy_up()
            except SQLAlchemyError as error:
                log.warning("sender_waits_for_database error=%s", type(error).__name__)
            except (ValueError, TypeError, LookupError):
                # A row that only another version can read must not keep the others waiting.
                log.exception("sender_failed")

    def look(self) -> list[threading.Thread]:
        """Begin to serve each channel that has something due; return the threads that do."""
        with self._database.reading() as session:
            due = outbox.due_channels(session, at=self._now())
        begun = []
        for channel_id in due:
            with self._lock:
                if channel_id in self._busy or len(self._busy) >= MAX_CHANNELS_AT_ONCE:
                    continue
                process = self._busy[channel_id] = self._make_process(self._settings)
            thread = threading.Thread(
                target=self._serve, args=(channel_id, process), name="send", daemon=True
            )
            thread.start()
            begun.append(thread)
        return begun

    def _serve(self, channel_id: int, process: MessageSender) -> None:
        try:
            self.serve(channel_id, process)
        except SQLAlchemyError as error:
            log.warning("sender_waits_for_database error=%s", type(error).__name__)
        except Exception:
            # A row that cannot be put into words; the others of its channel come next.
            log.exception("notification_failed channel=%s", channel_id)
        finally:
            process.close()
            with self._lock:
                del self._busy[channel_id]

    def serve(self, channel_id: int, process: MessageSender) -> int:
        """Send what is due for a channel until there is no more; return how many messages went."""
        count = 0
        with self._database.session() as session:
            outbox.suppress(
                session,
                channel_id,
                error=outbox.TOO_OLD_ERROR,
                created_before=self._now() - outbox.TOO_OLD,
            )
        while not self._stopping.is_set():
            with self._database.session() as session:
                taken = outbox.take(
                    session, channel_id, at=self._now(), rate_limit=self._rate_limit
                )
            if taken is None or not self._send(channel_id, taken, process):
                break
            count += 1
        return count

    def _send(self, channel_id: int, taken: ClaimedNotification, process: MessageSender) -> bool:
        """Send one message and note its outcome; return whether the channel can go on."""
        with self._database.reading() as session:
            row = session.get(Notification, taken.id)
            channel = session.get(NotificationChannel, channel_id)
            if row is None:
                return True
            notice = message_data.load_message_data(
                session, row, public_url=self._settings.public_url
            )
        if messages.started_in_time(notice):
            with self._database.session() as session:
                outbox.drop(session, taken, error=STARTED_IN_TIME)
            return True
        if channel is None:
            with self._database.session() as session:
                outbox.suppress(session, channel_id, error=CHANNEL_GONE)
            return False
        try:
            target = json.loads(load_cipher(self._settings).decrypt(channel.encrypted))
            error = process.send(_order(row, notice, target))
        except ConfigurationError as broken:
            error = broken.detail
        if self._stopping.is_set():
            # Its process was ended in the middle: that is no outcome.
            return False
        with self._database.session() as session:
            if error is None:
                outbox.sent(session, taken, at=self._now())
            else:
                outbox.failed(session, taken, channel_id, error=error, at=self._now())
        state = "sent" if error is None else "not_sent"
        log.info("notification_%s id=%s event=%s tries=%s", state, row.id, row.event, taken.tries)
        return error is None

    def _is_time_for(self, what: str, seconds: float) -> bool:
        """Tell, once in so many seconds, that it is time."""
        left = self._waits.get(what, 0.0) - POLL_SECONDS
        self._waits[what] = seconds if left <= 0 else left
        return left <= 0

    def notify_late(self) -> int:
        """Write what is to be told of runs that have not started though they should have.

        Every scheduler looks; a run is late once. Return how many rows were new.
        """
        at = self._now()
        with self._database.reading() as session:
            late = record.late(session, at=at)
        if not late:
            return 0
        with self._database.session() as session:
            told = record.notify_late(session, late, at=at)
            session.commit()
        return told

    def _tidy_up(self) -> None:
        """Mend who hears what, and forget what was told long ago."""
        with self._database.session() as session:
            wrong = record.refresh_subscriptions(session)
            session.commit()
            while history.prune(session, at=self._now()):
                session.commit()
        if wrong:
            log.info("subscriptions_mended jobs=%s", wrong)


def _order(row: Notification, notice: messages.MessageData, target: dict[str, Any]) -> SendRequest:
    return SendRequest(
        id=str(row.id),
        event=row.event.value,
        target=target,
        kind=_KINDS[row.event],
        title=messages.title(notice),
        text=messages.text(notice),
        document=messages.document(notice),
    )
