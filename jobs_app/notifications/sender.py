"""Sends due notifications: a thread in each scheduler process, beside the tick.

1.  Once a second it asks which channels have a due notification.
2.  For each of them a thread claims one notification after the other, by compare-and-set
    on its row, and writes its message.
3.  A sender process sends it within ten seconds, or gives up. No transaction is open meanwhile.
4.  The outcome is written on the row. If a sender dies before that, its row is due again after
    a minute: the message is sent twice rather than not at all, under the same id.
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
from jobs_app.db.counters import PendingCounts
from jobs_app.db.engine import Database
from jobs_app.db.errors import PutAside, error_name, is_outage
from jobs_app.db.models.notifications import Notification, NotificationChannel
from jobs_app.notifications import history, lateness, message_data, messages, outbox
from jobs_app.notifications.outbox import ClaimedNotification, RateLimit
from jobs_app.notifications.sender_process import SenderProcess, SendRequest
from jobs_app.notifications.subscriptions import refresh_subscriptions
from jobs_app.secrets.encryption import load_cipher

log = logging.getLogger(__name__)

#: How often the sender polls for due notifications, seconds.
DUE_POLL_SECONDS = 1.0

#: How often it corrects the subscribed events of jobs (a job and a channel may change at the
#: same time) and prunes old notifications; seconds.
MAINTENANCE_SECONDS = 600.0

#: How often it polls for runs that are late, seconds.
LATE_POLL_SECONDS = 5.0

#: Channels that are served at the same time. A channel that hangs blocks only itself.
MAX_CHANNELS_AT_ONCE = 4

#: The counter of messages, by what became of each.
MESSAGES = "notifications"

STARTED_IN_TIME = "Not sent: the run started before it was late for this channel."

_KINDS = {
    Event.FAILED: "failure",
    Event.LOST: "failure",
    Event.LATE: "warning",
    Event.MISSED: "warning",
    Event.PAUSED: "warning",
    Event.RECOVERED: "success",
    Event.SUCCEEDED: "success",
    Event.TEST: "info",
    Event.OUTPUT: "info",
    Event.OVERRUN: "warning",
}


class MessageSender(Protocol):
    """Sends messages; see SenderProcess."""

    def send(self, request: SendRequest, /) -> str | None:
        """Send a message; return why it was not sent, None if it was."""

    def interrupt(self) -> None:
        """Stop what another thread is sending, and send no more."""

    def close(self) -> None:
        """Release everything; for the thread that sends."""


class Sender:
    """The sender of a scheduler; `serve` sends what is due for one channel."""

    def __init__(
        self,
        database: Database,
        settings: Settings,
        *,
        make_process: Callable[[Settings], MessageSender] = SenderProcess,
        now: Callable[[], datetime] = clock.now,
        counts: PendingCounts | None = None,
    ) -> None:
        self._database = database
        self._settings = settings
        self._make_process = make_process
        self._now = now
        self._counts = counts or PendingCounts()
        self._rate_limit = RateLimit(settings.notify_per_minute, settings.notify_cool_down_seconds)
        self._stopping = threading.Event()
        self._put_aside = PutAside("sender_put_aside")
        self._busy: dict[int, MessageSender] = {}
        self._lock = threading.Lock()
        self._waits: dict[str, float] = {}

    def start(self) -> None:
        """Start the thread; it ends with its process, or with `stop`."""
        threading.Thread(target=self._run, name="sender", daemon=True).start()

    def stop(self) -> None:
        """Stop sending. A message that is interrupted is sent by another sender, or later."""
        self._stopping.set()
        with self._lock:
            processes = list(self._busy.values())
        for process in processes:
            process.interrupt()

    def _run(self) -> None:
        while not self._stopping.wait(DUE_POLL_SECONDS):
            try:
                self._put_aside.run("due", self.serve_due_channels)
                if self._is_time_for("late", LATE_POLL_SECONDS):
                    self._put_aside.run("late", self.notify_late)
                if self._is_time_for("maintenance", MAINTENANCE_SECONDS):
                    self._put_aside.run("maintenance", self._maintain)
            except (SQLAlchemyError, OSError, MemoryError) as error:
                log.warning("sender_waits_for_database error=%s", error_name(error))

    def serve_due_channels(self) -> list[threading.Thread]:
        """Start a thread for each channel with a due notification; return the new threads."""
        with self._database.reading() as session:
            due = outbox.due_channels(session, at=self._now())
        threads = []
        for channel_id in due:
            with self._lock:
                if channel_id in self._busy or len(self._busy) >= MAX_CHANNELS_AT_ONCE:
                    continue
                process = self._busy[channel_id] = self._make_process(self._settings)
            thread = threading.Thread(
                target=self._serve, args=(channel_id, process), name="send", daemon=True
            )
            thread.start()
            threads.append(thread)
        return threads

    def _serve(self, channel_id: int, process: MessageSender) -> None:
        try:
            self.serve(channel_id, process)
        except SQLAlchemyError as error:
            if is_outage(error):
                log.warning("sender_waits_for_database error=%s", error_name(error))
            else:
                log.exception("channel_failed channel=%s", channel_id)
        except Exception:
            # The channel's next due row starts another thread.
            log.exception("channel_failed channel=%s", channel_id)
        finally:
            process.close()
            with self._lock:
                del self._busy[channel_id]

    def serve(self, channel_id: int, process: MessageSender) -> int:
        """Send what is due for a channel until nothing is; return the number of messages."""
        count = 0
        oldest = self._now() - outbox.MAX_AGE
        with self._database.session() as session:
            outbox.suppress_channel(
                session, channel_id, error=outbox.TOO_OLD, created_before=oldest
            )
        while not self._stopping.is_set():
            with self._database.session() as session:
                claimed = outbox.claim_next(
                    session, channel_id, at=self._now(), rate_limit=self._rate_limit
                )
            if claimed is None or not self._send_or_suppress(channel_id, claimed, process):
                break
            count += 1
        return count

    def _send_or_suppress(
        self, channel_id: int, claimed: ClaimedNotification, process: MessageSender
    ) -> bool:
        """Send one message; one whose data fail is put aside, and the channel goes on."""
        try:
            return self._send(channel_id, claimed, process)
        except (SQLAlchemyError, ArithmeticError, UnicodeError) as error:
            if is_outage(error):
                raise
            log.exception("notification_failed channel=%s", channel_id)
            why = f"The message or its outcome is unusable ({type(error).__name__})."
            with self._database.session() as session:
                outbox.suppress(session, claimed, error=why)
            self._counts.add(MESSAGES, "suppressed")
            return True

    def _send(self, channel_id: int, claimed: ClaimedNotification, process: MessageSender) -> bool:
        """Send one message and write its outcome; return whether the channel can go on."""
        with self._database.reading() as session:
            row = session.get(Notification, claimed.id)
            channel = session.get(NotificationChannel, channel_id)
            if row is None:
                return True
            data = message_data.load_message_data(
                session, row, public_url=self._settings.public_url
            )
        if messages.started_in_time(data):
            with self._database.session() as session:
                outbox.suppress(session, claimed, error=STARTED_IN_TIME)
            self._counts.add(MESSAGES, "suppressed")
            return True
        if channel is None:
            with self._database.session() as session:
                outbox.suppress_channel(session, channel_id, error=outbox.CHANNEL_GONE)
            return False
        try:
            target = json.loads(load_cipher(self._settings).decrypt(channel.encrypted))
            error = process.send(_request(row, data, target))
        except ConfigurationError as failure:
            error = failure.detail
        if self._stopping.is_set():
            # The process was killed in the middle: there is no outcome.
            return False
        with self._database.session() as session:
            if error is None:
                outbox.mark_sent(session, claimed, at=self._now())
                outcome = "sent"
            elif outbox.mark_failed(session, claimed, channel_id, error=error, at=self._now()):
                outcome = "failed"
            else:
                outcome = "postponed"
        self._counts.add(MESSAGES, outcome)
        state = "sent" if error is None else "not_sent"
        log.info("notification_%s id=%s event=%s tries=%s", state, row.id, row.event, claimed.tries)
        return error is None

    def _is_time_for(self, task: str, seconds: float) -> bool:
        """Tell, once in so many seconds, that it is time for *task*."""
        wait = self._waits.get(task, 0.0) - DUE_POLL_SECONDS
        self._waits[task] = seconds if wait <= 0 else wait
        return wait <= 0

    def notify_late(self) -> int:
        """Write the notifications of late runs; return how many rows were new.

        Every scheduler does this; a unique index keeps one row per run and channel.
        """
        at = self._now()
        with self._database.reading() as session:
            late = lateness.find_late(session, at=at)
        if not late:
            return 0
        with self._database.session() as session:
            count = lateness.notify_late(session, late, at=at)
            session.commit()
        return count

    def _maintain(self) -> None:
        """Correct the subscribed events of jobs, and prune old notifications."""
        with self._database.session() as session:
            wrong = refresh_subscriptions(session)
            while history.prune(session, at=self._now()):
                session.commit()
        if wrong:
            log.info("subscriptions_mended jobs=%s", wrong)


def _request(row: Notification, data: messages.MessageData, target: dict[str, Any]) -> SendRequest:
    return SendRequest(
        id=str(row.id),
        event=row.event.value,
        target=target,
        kind=_KINDS[row.event],
        title=messages.title(data),
        text=messages.text(data),
        document=messages.document(data),
    )
