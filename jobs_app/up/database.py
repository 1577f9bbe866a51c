"""Preparation of the database, in a process that `jobs-app up` starts for it."""

import json
import os
from dataclasses import asdict
from typing import Any

from jobs_app.accounts import links
from jobs_app.accounts.admin_token import ensure_admin_token
from jobs_app.core import clock
from jobs_app.core.errors import JobsError
from jobs_app.core.settings import Settings
from jobs_app.db.migrations import migrate
from jobs_app.secrets.encryption import load_cipher
from jobs_app.up.preparation import Prepared


def prepare(settings: Settings, *, with_demo: bool) -> Prepared:
    """Migrate the schema, and create the key, the admin token and the demo's jobs."""
    load_cipher(settings, makes_key=True)
    migrate(settings)
    ensure_admin_token(settings)
    jobs: list[str] = []
    if with_demo:
        # Celery and the job services, which only this needs.
        from jobs_app.up import demo  # noqa: PLC0415 (the reason is above)

        jobs = demo.add(settings, at=clock.now())
    return Prepared(key=links.welcome_key(settings, at=clock.now()), demo_jobs=jobs)


def prepare_and_answer(answer_fd: int, *, with_demo: bool) -> None:
    """Prepare the database of this process's settings; write to *answer_fd* what came of it."""
    answer: dict[str, Any]
    try:
        answer = asdict(prepare(Settings(), with_demo=with_demo))
    except JobsError as error:
        answer = {"refusal": error.detail, "code": error.code}
    with os.fdopen(answer_fd, "w") as pipe:
        json.dump(answer, pipe)
