"""Messages of Celery's protocol 2, and the results that its workers store, as plain JSON.

The source is https://docs.celeryq.dev/en/stable/internals/protocol.html. Workers in other
languages read and write the same.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID, uuid5

from jobs_app.core.policies import RunLimits

#: The key of a result in Redis, before the id of its task.
RESULT_KEY = "celery-task-meta-"

#: States after which a task does no more.
FINAL_STATES = frozenset({"SUCCESS", "FAILURE", "REVOKED"})

#: Most characters of the arguments that Flower and the logs of the worker show.
SHOWN_CHARS = 1024


class UnreadableResult(Exception):
    """A stored result that is not JSON as Celery writes it."""


@dataclass(frozen=True, slots=True)
class TaskMessage:
    """A message that makes a worker run a task.

    `shown_args` and `shown_kwargs` are what people may see of the arguments. `expires_at` is
    the instant after which no worker begins the task. With `wants_result` the worker stores a
    result also if its task says otherwise. `reply_to` is the queue for the result, "" for none.
    """

    id: str
    run_id: UUID
    task: str
    args: Sequence[Any]
    kwargs: Mapping[str, Any]
    queue: str
    origin: str
    priority: int | None = None
    limits: RunLimits = field(default_factory=RunLimits)
    expires_at: datetime | None = None
    shown_args: Sequence[Any] = ()
    shown_kwargs: Mapping[str, Any] = field(default_factory=dict)
    wants_result: bool = False
    reply_to: str = ""

    def headers(self) -> dict[str, Any]:
        """Return the headers of the message."""
        limits = [self.limits.time_limit_seconds, self.limits.soft_time_limit_seconds]
        return {
            "lang": "py",
            "task": self.task,
            "id": self.id,
            "root_id": str(self.run_id),
            "parent_id": None,
            "group": None,
            "group_index": None,
            "shadow": None,
            "eta": None,
            "expires": None if self.expires_at is None else self.expires_at.isoformat(),
            "retries": 0,
            "timelimit": limits,
            "argsrepr": repr(tuple(self.shown_args))[:SHOWN_CHARS],
            "kwargsrepr": repr(dict(self.shown_kwargs))[:SHOWN_CHARS],
            "origin": self.origin,
            # None leaves it to the task.
            "ignore_result": False if self.wants_result else None,
            "replaced_task_nesting": 0,
            "stamped_headers": None,
            "stamps": {},
        }

    def body(self) -> list[Any]:
        """Return the body of the message: the arguments, and no tasks that follow."""
        following = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}
        return [list(self.args), dict(self.kwargs), following]


def task_id(run_id: UUID, attempt: int) -> str:
    """Return the id of the task of an attempt: the run's id, and another one for each retry.

    The result of an attempt must not be taken for that of the next.
    """
    return str(run_id) if attempt == 1 else str(uuid5(run_id, str(attempt)))


def revocation(task_id: str, *, signal: str | None) -> dict[str, Any]:
    """Return the order to all workers to drop a task, and to end it by *signal* if it has begun."""
    arguments = {"task_id": task_id, "terminate": signal is not None, "signal": signal}
    return {
        "method": "revoke",
        "arguments": arguments,
        "destination": None,
        "pattern": None,
        "matcher": None,
    }


@dataclass(frozen=True, slots=True)
class TaskState:
    """The state of a task as its worker stored it.

    `value` is the result, the error, or the meta data of a state that the task set itself.
    """

    state: str
    value: Any = None
    traceback: str = ""

    @property
    def is_final(self) -> bool:
        """Whether the task does no more."""
        return self.state in FINAL_STATES

    @property
    def error(self) -> str:
        """The error of a failed task in one line: its type and its message."""
        if not isinstance(self.value, dict):
            return str(self.value)
        message = self.value.get("exc_message")
        parts = message if isinstance(message, list) else [] if message is None else [message]
        text = ", ".join(map(str, parts))
        kind = str(self.value.get("exc_type") or "an error")
        return f"{kind}: {text}" if text else kind


def read_state(stored: bytes | None) -> TaskState | None:
    """Return the state in *stored*, None if there is none yet; raises UnreadableResult."""
    if stored is None:
        return None
    try:
        return state_of(json.loads(stored))
    except (ValueError, RecursionError):
        raise UnreadableResult from None


def state_of(meta: Any) -> TaskState:
    """Return the state in *meta*, the JSON of a result; raises UnreadableResult."""
    if not isinstance(meta, dict) or "status" not in meta:
        raise UnreadableResult
    traceback = meta.get("traceback")
    text = traceback if isinstance(traceback, str) else ""
    return TaskState(str(meta["status"]), meta.get("result"), text)
