"""The thread in which the active scheduler prunes."""

import logging
import threading
import time
from collections.abc import Callable
from datetime import datetime

from sqlalchemy.exc import SQLAlchemyError

from jobs_app.core import clock
from jobs_app.db.errors import with_sqlstate
from jobs_app.scheduler.pruner import Pruner

log = logging.getLogger(__name__)

#: From the start of a scheduler to its first pass, and from one pass to the next at least.
SETTLING_SECONDS = 30.0
#: From the start of a pass to that of the next.
PASS_INTERVAL_SECONDS = 1800.0

#: The pause after a step: as long as the step took, but at least this.
MIN_PAUSE_SECONDS = 0.02
#: A pass that goes on for longer deletes less than is added: its pauses become shorter.
BEHIND_SECONDS = PASS_INTERVAL_SECONDS / 2
#: The pause of a pass that is behind, as a part of the step, and what it is at least, seconds.
PAUSE_BEHIND, MIN_PAUSE_BEHIND_SECONDS = 0.25, 0.005


def pause_after(step_seconds: float, *, pass_seconds: float) -> float:
    """Return how long to pause after a step of a pass that goes on since *pass_seconds*."""
    if pass_seconds < BEHIND_SECONDS:
        return max(MIN_PAUSE_SECONDS, step_seconds)
    return max(MIN_PAUSE_BEHIND_SECONDS, step_seconds * PAUSE_BEHIND)


def pause_between(pass_seconds: float) -> float:
    """Return the time from the end of a pass that took *pass_seconds* to the next, seconds."""
    return max(SETTLING_SECONDS, PASS_INTERVAL_SECONDS - pass_seconds)


class PrunerThread:
    """Prunes in regular passes while `is_active` says so, until it is stopped.

    Each pass calls *note* first, for what else may take its time.
    """

    def __init__(
        self, pruner: Pruner, is_active: Callable[[], bool], note: Callable[[datetime], object]
    ) -> None:
        self._pruner = pruner
        self._note = note
        self._is_active = is_active
        self._is_stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="pruner", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Stop after the current step, and wait for it."""
        self._is_stopped.set()
        if self._thread.is_alive():
            self._thread.join(timeout=5)

    def _run(self) -> None:
        pause = SETTLING_SECONDS
        while not self._is_stopped.wait(pause):
            pause, began = SETTLING_SECONDS, time.monotonic()
            if self._is_active() and self._pass():
                pause = pause_between(time.monotonic() - began)

    def _pass(self) -> bool:
        """Do one pass; False if it was interrupted."""
        began = step_began = time.monotonic()
        try:
            self._note(clock.now())
            for _ in self._pruner.steps(at=clock.now()):
                now = time.monotonic()
                pause = pause_after(now - step_began, pass_seconds=now - began)
                if self._is_stopped.wait(pause):
                    return False
                if not self._is_active():
                    return False
                step_began = time.monotonic()
        except SQLAlchemyError as error:
            cause = with_sqlstate(str(error).partition("\n")[0], error)
            log.warning("sweep_failed error=%s", cause)
            return False
        except (ValueError, TypeError, LookupError, ArithmeticError):
            # A row that cannot be read must not end this thread.
            log.exception("sweep_failed")
            return False
        seconds = time.monotonic() - began
        log.info("history_swept rows=%s seconds=%.1f", self._pruner.deleted, seconds)
        return True
