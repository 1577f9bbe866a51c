"""What a run of the task `celery` keeps in its row, for an attempt after the loss of its worker."""

import logging
import time
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from jobs_app.db.errors import error_name, is_outage
from jobs_app.runs import sent_task
from jobs_app.runs.claim import ClaimedRun
from jobs_app.worker.finish_run import RETRY_DATABASE_SECONDS
from jobs_app.worker.liveness.cancellation import CancellableRun
from jobs_app.worker.pool_process import Process

log = logging.getLogger(__name__)


class SentTask:
    """What the attempt *claimed* has sent; `sent` is None until that is stored."""

    def __init__(self, process: Process, claimed: ClaimedRun, run: CancellableRun) -> None:
        self._process = process
        self._claimed = claimed
        self._run = run
        self.sent: dict[str, Any] | None = None

    def before(self) -> tuple[dict[str, Any] | None, bool]:
        """Return what the attempt before has sent, if it has, and whether it was lost since."""
        if self._claimed.attempt == 1:
            return None, False
        attempt = (self._claimed.run_id, self._claimed.attempt)
        while True:
            try:
                with self._process.database.reading() as session:
                    return sent_task.sent_before(session, *attempt)
            except SQLAlchemyError as error:
                if not is_outage(error) or self._has_no_lease():
                    raise
                # Without an answer the task might be sent twice.
                time.sleep(RETRY_DATABASE_SECONDS)

    def keep(self, sent: dict[str, Any]) -> None:
        """Keep *sent*. If that fails, the run goes on; its loss is then that of its task."""
        claimed = self._claimed
        try:
            with self._process.database.session() as session:
                is_kept = sent_task.keep_sent(session, claimed.run_id, claimed.attempt, sent)
        except Exception as error:  # noqa: BLE001  # the task was sent: the run waits for it
            log.warning("sent_not_stored run=%s error=%s", claimed.run_id, error_name(error))
            return
        self.sent = sent if is_kept else None

    def is_handed_on(self) -> bool:
        """Return whether this attempt ends because its worker stops, and another one waits."""
        is_lost = self._run.is_stopped or self._has_no_lease()
        return is_lost and sent_task.wait_goes_on(self._claimed.attempt, self.sent)

    def _has_no_lease(self) -> bool:
        return self._process.lease.seconds_left(of=self._claimed.worker_id) <= 0
