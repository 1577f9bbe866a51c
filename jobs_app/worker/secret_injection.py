"""Puts secrets into the arguments of a run, just before its task starts and in memory only."""

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from jobs_app.core import clock
from jobs_app.core.errors import ConfigurationError
from jobs_app.db.errors import error_name, is_outage
from jobs_app.db.models.jobs import Job
from jobs_app.db.models.secrets import Secret
from jobs_app.runs.claim import ClaimedRun
from jobs_app.runs.outcome import Outcome
from jobs_app.secrets import encryption, references, store
from jobs_app.tasks import env_files, registry
from jobs_app.tasks.context import Fenced, TaskOutcome
from jobs_app.tasks.env_files import EnvFileFault
from jobs_app.worker.output.secret_masking import NO_SECRETS, Mask
from jobs_app.worker.pool_process import Process

log = logging.getLogger(__name__)

T = TypeVar("T")

RETRY_DATABASE_SECONDS = 0.5


class SecretUnavailable(TaskOutcome):
    """A secret of the run does not exist, or this worker cannot decrypt it: failed."""


class VariablesUnavailable(TaskOutcome):
    """A file of JOBS_ENV_FILES cannot be used: failed."""


@dataclass(frozen=True, slots=True)
class Injection:
    """The arguments of a run with their secrets, and the mask that takes them out again.

    `stored_kwargs` are the arguments as stored, with references in place of secrets.
    """

    task: str
    stored_kwargs: Mapping[str, Any]
    kwargs: dict[str, Any] = field(repr=False)
    values: Mapping[str, str] = field(default_factory=dict, repr=False)
    mask: Mask = NO_SECRETS

    def masked(self, outcome: Outcome) -> Outcome:
        """Return *outcome* without the secrets, except in its result.

        Arguments of a retry get their references back. A form that the task made of a secret
        (its Base64, say) has no reference, and is masked.
        """
        if not self.values:
            return outcome
        retry_kwargs = outcome.retry_kwargs
        if retry_kwargs is not None:
            retry_kwargs = references.put_back(
                self.task, self.stored_kwargs, retry_kwargs, self.values, clean=self.mask.json
            )
        return replace(
            outcome,
            error=None if outcome.error is None else outcome.error.masked(self.mask.json),
            reason=self.mask.json(outcome.reason),
            retry_kwargs=retry_kwargs,
        )


def inject(process: Process, claimed: ClaimedRun) -> Injection:
    """Return the arguments of the run with their secrets, and the variables of JOBS_ENV_FILES.

    Raises SecretUnavailable, VariablesUnavailable, Fenced.
    """
    task, stored_kwargs = claimed.task, _with_variables(process, claimed)
    # Most runs have no secrets: this check is much cheaper than a proper search.
    if references.OPENING not in repr(stored_kwargs):
        return Injection(task, stored_kwargs, stored_kwargs)
    names = references.names(task, stored_kwargs)
    values: dict[str, str] = {}
    if names:
        secrets = _read(process, claimed, lambda session: store.find_all(session, names))
        if missing := sorted(names - secrets.keys()):
            raise SecretUnavailable(
                f"There is no secret {' or '.join(map(repr, missing))}, so nothing was started: "
                f"store it with `jobs-app secret set {missing[0]}`, or change the job."
            )
        try:
            values = _decrypted(process, secrets)
        except SecretUnavailable:
            # The key may have been rotated, and the old one removed, since they were read.
            secrets = _read(process, claimed, lambda session: store.find_all(session, names))
            values = _decrypted(process, secrets)
        _note_use(process, secrets)
    kwargs = references.resolve(task, stored_kwargs, values)
    mask = Mask(values.values()) if values else NO_SECRETS
    return Injection(task, stored_kwargs, kwargs, values, mask)


def _with_variables(process: Process, claimed: ClaimedRun) -> dict[str, Any]:
    """Return the arguments as stored; for a command with the variables that files give it."""
    settings = process.settings
    if not settings.tagged_env_files or not registry.runs_shell(process.app, claimed.task):
        return claimed.kwargs
    tags: list[str] = []
    if claimed.job_id is not None and env_files.has_tags(settings):
        statement = select(Job.tags).where(Job.id == claimed.job_id)
        tags = _read(process, claimed, lambda session: list(session.scalar(statement) or ()))
    try:
        variables = env_files.variables_for(settings, tags)
    except EnvFileFault as fault:
        raise VariablesUnavailable(f"{fault} So nothing was started.") from None
    given = {variable.name: variable.value for variable in variables}
    return {**claimed.kwargs, "env": given | (claimed.kwargs.get("env") or {})}


def _read(process: Process, claimed: ClaimedRun, read: Callable[[Session], T]) -> T:
    """Return what *read* returns; try again while the lease lasts."""
    while True:
        try:
            with process.database.reading() as session:
                return read(session)
        except SQLAlchemyError as error:
            if not is_outage(error):
                raise
            if process.lease.seconds_left(of=claimed.worker_id) <= 0:
                raise Fenced("The worker lost the database before the run began.") from error
            log.warning("run_not_read run=%s error=%s", claimed.run_id, error_name(error))
            time.sleep(RETRY_DATABASE_SECONDS)


def _note_use(process: Process, secrets: Mapping[str, Secret]) -> None:
    """Note the time of use, at intervals; a run does not fail if that is impossible."""
    at = clock.now()
    names = store.names_to_mark_used(secrets.values(), at=at)
    if not names:
        return
    try:
        with process.database.session() as session:
            store.mark_used(session, names, at=at)
    except SQLAlchemyError as error:
        log.warning("secret_use_not_noted error=%s", error_name(error))


def _decrypted(process: Process, secrets: Mapping[str, Secret]) -> dict[str, str]:
    try:
        # Read the key for each run: a rotated key takes effect without a restart.
        cipher = encryption.load_cipher(process.settings)
        return {name: cipher.decrypt(secret.encrypted) for name, secret in secrets.items()}
    except ConfigurationError as error:
        raise SecretUnavailable(
            f"The secrets of the run cannot be read on this worker, so nothing was started. "
            f"{error.detail}"
        ) from None
