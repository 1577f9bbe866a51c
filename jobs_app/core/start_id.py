"""The id of a start of `up`, which reaches the scheduler through its environment.

The environment of a process of `up` stays the same when it is started anew.
"""

from collections.abc import Mapping
from uuid import UUID, uuid4

VARIABLE = "JOBS_START_ID"


def new() -> dict[str, str]:
    """Return the variable with a new id."""
    return {VARIABLE: str(uuid4())}


def read(environment: Mapping[str, str]) -> UUID | None:
    """Return the id in *environment*; None if there is none."""
    try:
        return UUID(environment.get(VARIABLE, ""))
    except ValueError:
        return None
