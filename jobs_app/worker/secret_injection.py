"""Gives a run the secrets that it refers to, at the last moment and in memory only."""

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from jobs_app.core import clock
from jobs_app.core.errors import ConfigurationError
from jobs_app.db.models.secrets import Secret
from jobs_app.runs.claim import ClaimedRun
from jobs_app.runs.outcome import Outcome
from jobs_app.secrets import encryption, references, store
from jobs_app.tasks.context import Fenced, TaskOutcome
from jobs_app.worker.output.secret_masking import NOTHING, Mask
from jobs_app.worker.pool_process import Process

log = logging.getLogger(__name__)

RETRY_DATABASE_SECONDS = 0.5


class SecretUnavailable(TaskOutcome):
    """A secret that the run refers to does not exist, or cannot be read here: failed."""


@dataclass(frozen=True, slots=True)
class Injected:
    """What a run is called with, and how to take the secrets out of what it leaves behind."""

    task: str
    given: Mapping[str, Any]
    kwargs: dict[str, Any] = field(repr=False)
    values: Mapping[str, str] = field(default_factory=dict, repr=False)
    mask: Mask = NOTHING

    def cleaned(self, outcome: Outcome) -> Outcome:
        """Return *outcome* with the secrets taken out of all but its result.

        Arguments for a retry refer to them again; what the task itself made of a secret
        (its Base64, say) no reference can stand for, and it is masked.
        """
        if not self.values:
            return outcome
        again = outcome.retry_kwargs
        if again is not None:
            again = references.put_back(
                self.task, self.given, again, self.values, clean=self.mask.json
            )
        return replace(
            outcome,
            error=None if outcome.error is None else outcome.error.masked(self.mask.json),
            reason=self.mask.json(outcome.reason),
            retry_kwargs=again,
        )


def inject(process: Process, claimed: ClaimedRun) -> Injected:
    """Return what the run is to be called with; raises SecretUnavailable, Fenced."""
    task, given = claimed.task, claimed.kwargs
    # Most runs have none: this costs them a fraction of looking properly.
    if references.OPENING not in repr(given):
        return Injected(task, given, given)
    wanted = references.names(task, given)
    values: dict[str, str] = {}
    if wanted:
        secrets = _read(process, claimed, wanted)
        if missing := sorted(wanted - secrets.keys()):
            raise SecretUnavailable(
                f"There is no secret {' or '.join(map(repr, missing))}, so nothing was started: "
                f"store it with `jobs-app secret set {missing[0]}`, or change the job."
            )
        try:
            values = _decrypted(process, secrets)
        except SecretUnavailable:
            # The key may have been rotated, and the old one dropped, since they were read.
            values = _decrypted(process, _read(process, claimed, wanted))
        _note_use(process, secrets)
    kwargs = references.resolve(task, given, values)
    return Injected(task, given, kwargs, values, Mask(values.values()) if values else NOTHING)


def _read(process: Process, claimed: ClaimedRun, names: set[str]) -> dict[str, Secret]:
    """Return the encrypted secrets, however long the database is away while the lease lasts."""
    while True:
        try:
            with process.database.reading() as session:
                return store.find_all(session, names)
        except SQLAlchemyError as error:
            if process.lease.seconds_left(of=claimed.worker_id) <= 0:
                raise Fenced("The worker lost the database before the run began.") from error
            log.warning("secrets_not_read run=%s error=%s", claimed.run_id, type(error).__name__)
            time.sleep(RETRY_DATABASE_SECONDS)


def _note_use(process: Process, secrets: Mapping[str, Secret]) -> None:
    """Write when the secrets were used, now and then; a run does not fail for want of that."""
    at = clock.now()
    names = store.names_to_mark_used(secrets.values(), at=at)
    if not names:
        return
    try:
        with process.database.session() as session:
            store.mark_used(session, names, at=at)
    except SQLAlchemyError as error:
        log.warning("secret_use_not_noted error=%s", type(error).__name__)


def _decrypted(process: Process, secrets: Mapping[str, Secret]) -> dict[str, str]:
    try:
        # Anew for each run: a rotated key takes effect without a restart.
        cipher = encryption.load_cipher(process.settings)
        return {name: cipher.decrypt(secret.encrypted) for name, secret in secrets.items()}
    except ConfigurationError as error:
        raise SecretUnavailable(
            f"The secrets of the run cannot be read on this worker, so nothing was started. "
            f"{error.detail}"
        ) from None
