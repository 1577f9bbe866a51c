"""The whole state of a process that a run may change: saved once, restored after each run.

A pool process runs many tasks. The task of one run must not change anything for the next
run. If something cannot be restored, the process must be replaced.
"""

from jobs_app.worker.process_state.credentials import Credentials
from jobs_app.worker.process_state.descriptors import Descriptors
from jobs_app.worker.process_state.environment import Environment
from jobs_app.worker.process_state.interpreter import Interpreter
from jobs_app.worker.process_state.limits import Limits
from jobs_app.worker.process_state.log_setup import LogSetup
from jobs_app.worker.process_state.signals import Signals


class ProcessState:
    """The state of this process when it was created; use it in the main thread only."""

    def __init__(self, descriptors: Descriptors) -> None:
        """Save the state; *descriptors* are older, from before the run's own pipes."""
        # First the parts that the others may need.
        self._parts = (
            Interpreter(),
            Signals(),
            Credentials(),
            Limits(),
            descriptors,
            Environment(),
            LogSetup(),
        )

    def restore(self) -> list[str]:
        """Restore the saved state; return the names of the things that stay changed."""
        changed: list[str] = []
        for part in self._parts:
            try:
                changed += part.restore()
            except Exception as error:  # noqa: BLE001  # user code may have left any object
                changed.append(f"{type(part).__name__} ({type(error).__name__})")
        return changed
