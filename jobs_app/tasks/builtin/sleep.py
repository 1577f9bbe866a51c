"""The task `sleep`: waits, like the long task of tutorials."""

import time
from typing import Annotated

from celery import shared_task
from pydantic import Field

from jobs_app.tasks.context import current_run

STEP_SECONDS = 0.2


@shared_task(name="sleep")
def sleep(
    duration: Annotated[float, Field(ge=0, allow_inf_nan=False, examples=[10])],
) -> dict[str, float]:
    """Wait some seconds and return how long it was.

    A cancelled run ends within a fraction of a second.

    Args:
        duration: The time to wait, seconds.
    """
    context = current_run.get()
    started = time.monotonic()
    while (left := duration - (elapsed := time.monotonic() - started)) > 0:
        context.stop_if_asked(elapsed_seconds=elapsed)
        time.sleep(min(left, STEP_SECONDS))
    return {"slept_seconds": round(time.monotonic() - started, 3)}
