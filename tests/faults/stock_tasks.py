"""What a user of plain Celery and RedBeat has: a task, and a schedule in the configuration."""

import os
import time

from celery import current_app, shared_task

#: The file to which the task writes, and the word it writes for the static entry.
FILE_VARIABLE = "STOCK_TASKS_FILE"
STATIC = "static"


@shared_task(name="stock.note")
def note(word: str) -> None:
    """Append a line: *word* and the time."""
    with open(os.environ[FILE_VARIABLE], "a") as file:
        file.write(f"{word} {time.time()}\n")


current_app.conf.beat_schedule = {
    "static-entry": {"task": "stock.note", "schedule": 1.0, "args": [STATIC]},
}
