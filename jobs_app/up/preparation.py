"""What `jobs-app up` hands to the process that prepares the database, and hears from it.

`up` stays in memory, and SQLAlchemy would stay with it.
"""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from jobs_app.core.errors import ConfigurationError, JobsError, Unavailable
from jobs_app.up.parent_death import ParentDeathPipe
from jobs_app.up.programs import ChildProcess

TARGET = "jobs_app.__main__:prepare_database"

#: The errors of the process that have an exit code of their own, by their codes.
REFUSALS: dict[str, type[JobsError]] = {
    error.code: error for error in (ConfigurationError, Unavailable)
}


@dataclass(frozen=True, slots=True)
class Prepared:
    """The database is ready.

    *key* is that of the link that makes the first admin, None if there is a person.
    """

    key: str | None
    demo_jobs: Sequence[str]


def prepare_database(
    environment: Mapping[str, str],
    secrets: Mapping[str, str],
    death_pipe: ParentDeathPipe,
    *,
    with_demo: bool,
) -> Prepared:
    """Prepare the database in a process with *environment* and *secrets*.

    Raises the JobsError that it ended with, and OSError if there is no room for it.
    """
    answer, answer_end = os.pipe()
    process = ChildProcess(
        "database", TARGET, [str(with_demo)], death_pipe, (), environment, secrets, [answer_end]
    )
    with os.fdopen(answer) as pipe:
        try:
            process.start()
        finally:
            os.close(answer_end)
        text = pipe.read()
    process.kill()
    return read_answer(text)


def read_answer(text: str) -> Prepared:
    """Return what the process wrote, or raise the JobsError that it tells of."""
    if not text:
        raise JobsError("The database could not be prepared; see above.")
    answer = json.loads(text)
    if "refusal" in answer:
        raise REFUSALS.get(answer["code"], JobsError)(answer["refusal"])
    return Prepared(**answer)
