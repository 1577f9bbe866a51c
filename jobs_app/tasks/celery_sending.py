"""Whether an attempt of the task `celery` sends its message, or waits for one that was sent."""

from dataclasses import dataclass
from typing import Any

from jobs_app.tasks.celery_message import TaskMessage, task_id
from jobs_app.tasks.context import RunContext, SentTask


@dataclass(frozen=True, slots=True)
class Sending:
    """What an attempt does about its message, whose task has this `id`.

    `is_sent`: an attempt before has sent it, and lost its worker while it waited. `id_before` is
    the id of the task of the attempt before, "" for the first one.
    """

    id: str
    attempt: int
    is_sent: bool = False
    id_before: str = ""
    _store: SentTask | None = None

    @classmethod
    def of(cls, context: RunContext) -> "Sending":
        """Return what the attempt of *context* does."""
        run_id, attempt, store = context.run_id, context.attempt, context.sent_task
        own_id = task_id(run_id, attempt)
        if attempt == 1:
            return cls(own_id, attempt, _store=store)
        sent, is_lost = (None, False) if store is None else store.before()
        id_before = task_id(run_id, attempt - 1) if sent is None else str(sent["id"])
        is_sent = sent is not None and is_lost
        return cls(id_before if is_sent else own_id, attempt, is_sent, id_before, store)

    def line(self, message: TaskMessage) -> str:
        """Return a line for the log of a later attempt; "" for the first one."""
        if self.is_sent:
            return (
                f"Attempt {self.attempt} waits for {message.task}, which was sent as {self.id}"
                " before this run lost its worker. It is not sent again."
            )
        if not self.id_before:
            return ""
        return (
            f"Attempt {self.attempt} sends {message.task} anew. The attempt before sent it as"
            f" {self.id_before}, which may have run, or may still run, in your workers."
        )

    def keep(self, sent: dict[str, Any]) -> None:
        """Keep what was *sent* for an attempt after this one; never raises."""
        if self._store is not None:
            self._store.keep(sent)

    def is_handed_on(self) -> bool:
        """Return whether another attempt waits, because the worker of this one is lost."""
        return self._store is not None and self._store.is_handed_on()
