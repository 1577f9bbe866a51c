"""The gate that each received message must pass: signed, uncompressed, in its own queue, new."""

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable
from datetime import datetime
from enum import StrEnum
from typing import Any

from jobs_app.broker.signature import SENT_AT, SIGNATURES, is_signed
from jobs_app.core.errors import ConfigurationError
from jobs_app.secrets.signing import Signer

log = logging.getLogger(__name__)

#: A task's message that waited longer is refused, from its sending or its `eta`, seconds: so a
#: copy of an old message is worth nothing. Runs have no such limit: their rows decide.
MAX_AGE_SECONDS = 7 * 86_400

#: The same for remote control, which is answered at once, and for its answers.
MAX_CONTROL_AGE_SECONDS = 300

#: The log gets one line in this time about all refused messages, seconds.
LOG_SECONDS = 60.0

#: A message that was signed with another key is a worker's problem for this long, seconds.
PROBLEM_SECONDS = 300.0


class Refusal(StrEnum):
    """Why a message is refused."""

    UNREADABLE = "unreadable"
    COMPRESSED = "compressed"
    UNSIGNED = "unsigned"
    OTHER_KEY = "other_key"
    BAD_SIGNATURE = "bad_signature"
    OTHER_QUEUE = "other_queue"
    TOO_OLD = "too_old"


class Gate:
    """Checks received messages, and counts and logs those that it refuses.

    *ageless_task* names the task whose messages may be of any age.
    """

    def __init__(
        self,
        signer: Signer,
        *,
        ageless_task: str,
        now: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._signer = signer
        self._ageless_task = ageless_task
        self._now = now
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._pending: Counter[Refusal] = Counter()
        self._next_log = 0.0
        self._other_key_until = 0.0
        self.refused = 0

    def passes(self, message: Any, queue: str) -> bool:
        """Tell whether *message*, which came from *queue*, may be processed."""
        refusal = self._refusal(message, queue)
        if refusal is not None:
            self.note(refusal)
        return refusal is None

    def note(self, refusal: Refusal) -> None:
        """Count a refused message."""
        with self._lock:
            self.refused += 1
            self._pending[refusal] += 1
            if refusal is Refusal.OTHER_KEY:
                self._other_key_until = self._monotonic() + PROBLEM_SECONDS
        self.report()

    def report(self) -> None:
        """Log how many messages were refused, at most once a minute; call it now and then."""
        with self._lock:
            if not self._pending or self._monotonic() < self._next_log:
                return
            self._next_log = self._monotonic() + LOG_SECONDS
            reasons = " ".join(f"{name}={count}" for name, count in sorted(self._pending.items()))
            total = self._pending.total()
            self._pending.clear()
        log.warning("messages_refused count=%s %s", total, reasons)

    @property
    def has_other_key(self) -> bool:
        """Whether messages that another key has signed were refused in the last minutes."""
        return self._monotonic() < self._other_key_until

    def _refusal(self, message: Any, queue: str) -> Refusal | None:
        if message.refusal is not None:
            refusal: Refusal = message.refusal
            return refusal
        signatures = message.headers.get(SIGNATURES)
        if not _are_signatures(signatures):
            return Refusal.UNSIGNED
        try:
            if not self._signer.is_known(signatures):
                return Refusal.OTHER_KEY
            if not is_signed(message, signatures, self._signer):
                return Refusal.BAD_SIGNATURE
        except ConfigurationError:
            return Refusal.OTHER_KEY
        # From here on, all that is read is signed.
        delivery = message.delivery_info
        if not _is_for(queue, delivery["exchange"], delivery["routing_key"]):
            return Refusal.OTHER_QUEUE
        return Refusal.TOO_OLD if self._is_too_old(message, delivery["exchange"]) else None

    def _is_too_old(self, message: Any, exchange: str) -> bool:
        headers = message.headers
        if headers.get("task") == self._ageless_task:
            return False
        sent_at = float(headers.get(SENT_AT) or 0)
        if exchange:
            return abs(self._now() - sent_at) > MAX_CONTROL_AGE_SECONDS
        due_at = max(sent_at, _timestamp(headers.get("eta")))
        return self._now() - due_at > MAX_AGE_SECONDS


def _are_signatures(value: Any) -> bool:
    return isinstance(value, dict) and all(
        isinstance(part, str) and part.isascii() for part in value.values()
    )


def _is_for(queue: str, exchange: str, routing_key: str) -> bool:
    """Tell whether a message with this address belongs in *queue*.

    Tasks go to a queue by its name. Remote control and events have exchanges, whose names are
    a part of their queues' names.
    """
    if not exchange:
        return routing_key == queue
    return queue.endswith(f".{exchange}") or queue.startswith(f"{exchange}.")


def _timestamp(eta: Any) -> float:
    try:
        return datetime.fromisoformat(eta).timestamp()
    except (TypeError, ValueError, OverflowError):
        return 0.0
