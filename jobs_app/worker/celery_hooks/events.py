"""Sends Celery's events about runs in the place of those about the task of every message."""

from typing import Any

from celery.worker.request import Request

from jobs_app.worker.run_events import unpacked


class EventRequest(Request):
    """A run's message in the worker, whose events are about the run.

    For Celery the task of a message has succeeded whatever became of its run.
    """

    def send_event(self, type: str, **fields: Any) -> None:  # noqa: A002 (Celery's name)
        """Send an event; in the place of a success the one that the run's process gave."""
        if type == "task-succeeded":
            event = unpacked(str(fields["result"]))
            if event is None:
                return
            super().send_event(event.type, **event.fields)
        else:
            super().send_event(type, **fields)

    def send_received(self) -> None:
        """Send the event that the message was received, as Celery's own strategy does."""
        self.send_event(
            "task-received",
            name=self.name,
            args=self.argsrepr,
            kwargs=self.kwargsrepr,
            root_id=self.root_id,
            parent_id=self.parent_id,
            retries=self.request_dict.get("retries", 0),
            eta=None,
            expires=None,
        )
