"""`jobs_app.integrate(app)`: a user's own Celery worker also runs the jobs of jobs-app.

Their worker starts `jobs-app worker` with their application in it, as a process of its own
beside its pool, and stops it with itself. It is not the same pool for a reason: a run needs
its output captured, its process state restored, its process killed at a limit or when a
lease has run out. All of that would reach into the processes of their other tasks. So these
never notice: their output, signals, broker and serializer stay as they are.
"""

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

from celery import Celery, bootsteps
from celery.worker import state

from jobs_app.core.text import text_of
from jobs_app.tasks.user_apps import apps_in
from jobs_app.up.parent_death import ParentDeathPipe

log = logging.getLogger(__name__)

COMMAND = (sys.executable, "-m", "jobs_app", "worker")

#: Pauses before a process that has ended is started again, doubled each time, seconds.
FIRST_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 60.0
#: A process that ran this long counts as healthy: its next pause is the first one again.
HEALTHY_SECONDS = 60.0

#: The signals of a cold shutdown, and the time after each, seconds. The second QUIT cuts short
#: the time that the first one gives; then the worker ends its runs and records that.
COLD_SIGNALS = ((signal.SIGQUIT, 0.3), (signal.SIGQUIT, 5.0), (signal.SIGKILL, 2.0))

POLL_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class Integration:
    """How the worker of an application runs jobs; None leaves it to the settings."""

    queues: Sequence[str] | None = None
    concurrency: int | None = None
    imports: Sequence[str] | None = None

    def environment(self, app: Celery) -> dict[str, str]:
        """Return the environment of the process for *app*; raises ValueError."""
        own = os.environ.get("JOBS_IMPORTS", "").split(",")
        modules = dict.fromkeys(filter(None, [*map(str.strip, own), *self._modules(app)]))
        environment = {**os.environ, "JOBS_IMPORTS": ",".join(modules)}
        if self.queues is not None:
            environment["JOBS_WORKER_QUEUES"] = ",".join(self.queues)
        if self.concurrency is not None:
            environment["JOBS_WORKER_CONCURRENCY"] = str(self.concurrency)
        return environment

    def _modules(self, app: Celery) -> Sequence[str]:
        if self.imports is not None:
            return self.imports
        if (home := next(_homes(app), None)) is None:
            raise ValueError(
                f"no imported module has the application {app.main!r}: name one, as in"
                " jobs_app.integrate(app, imports=['shop.celery'])"
            )
        return [home]


_integrations: WeakKeyDictionary[Celery, Integration] = WeakKeyDictionary()


def add_step(
    app: Celery,
    *,
    queues: Sequence[str] | str | None,
    concurrency: int | None,
    imports: Sequence[str] | str | None,
) -> None:
    """Add the step to the workers of *app*; see `jobs_app.integrate`. Raises TypeError."""
    # Of a Flask application or a factory people would notice only that no run begins.
    if not isinstance(app, Celery):
        raise TypeError(f"jobs_app.integrate() takes a Celery application, not {type(app)!r}")
    _integrations[app] = Integration(_names(queues), concurrency, _names(imports))
    app.steps["worker"].add(JobsWorker)


def _names(names: Sequence[str] | str | None) -> Sequence[str] | None:
    if isinstance(names, str):
        names = names.split(",")
    return None if names is None else [name.strip() for name in names if name.strip()]


def _homes(app: Celery) -> Iterator[str]:
    """Yield the imported modules that have *app*, those with the application itself first."""
    modules = [
        (name, module)
        for name, module in list(sys.modules.items())
        if name != "__main__" and not name.startswith(("celery.", "jobs_app."))
    ]
    for name, module in modules:
        if any(value is app for value in list(getattr(module, "__dict__", {}).values())):
            yield name
    for name, module in modules:
        # It may have only the Flask application, or tasks.
        if hasattr(module, "__dict__") and any(found is app for found in apps_in(module)):
            yield name


class JobsWorker(bootsteps.StartStopStep):
    """The step of a Celery worker that keeps a `jobs-app worker` running beside its pool."""

    requires = ("celery.worker.components:Pool",)

    def __init__(self, parent: Any, **options: Any) -> None:
        super().__init__(parent, **options)
        self._integration = _integrations.get(parent.app)
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._death_pipe: ParentDeathPipe | None = None
        self._thread: threading.Thread | None = None

    def include_if(self, parent: Any) -> bool:
        """Return False for a worker in a thread, as the tests of applications start it."""
        return threading.current_thread() is threading.main_thread()

    def start(self, parent: Any) -> None:
        """Start the process, and a thread that starts it again when it ends."""
        integration = self._integration
        if integration is None:
            return
        try:
            environment = integration.environment(parent.app)
        except ValueError as error:
            log.error("jobs_app.integrate: %s", error)
            return
        self._death_pipe = ParentDeathPipe()
        self._thread = threading.Thread(
            target=self._keep_running, args=(environment,), name="jobs-app", daemon=True
        )
        self._thread.start()

    def close(self, parent: Any) -> None:
        """Ask the process to end its runs, while the pool ends its own tasks."""
        self._stopping.set()
        self._send(signal.SIGTERM)

    def stop(self, parent: Any) -> None:
        """Wait until the runs have ended, as the pool does for its tasks."""
        while self._thread is not None and self._thread.is_alive():
            # A second signal to their worker sets it to an exit code: nothing waits any more.
            exit_code: Any = state.should_terminate
            if exit_code is not None and exit_code is not False:
                self.terminate(parent)
            self._thread.join(POLL_SECONDS)
        self._release()

    def terminate(self, parent: Any) -> None:
        """End the runs, which are then recorded as stopped, and the process."""
        self._stopping.set()
        for number, seconds in COLD_SIGNALS:
            if self._thread is not None and self._thread.is_alive():
                self._send(number)
                self._thread.join(seconds)
        self._release()

    def _keep_running(self, environment: dict[str, str]) -> None:
        pause = FIRST_PAUSE_SECONDS
        while not self._stopping.is_set():
            started = time.monotonic()
            ending = self._run_once(environment)
            if self._stopping.is_set():
                return
            if time.monotonic() - started > HEALTHY_SECONDS:
                pause = FIRST_PAUSE_SECONDS
            log.error("jobs-app worker %s; starting it again in %g s", ending, pause)
            self._stopping.wait(pause)
            pause = min(pause * 2, LONGEST_PAUSE_SECONDS)

    def _run_once(self, environment: dict[str, str]) -> str:
        """Run the process to its end; return how it ended, as the rest of a sentence."""
        pipe = self._death_pipe
        if pipe is None:
            return "was not started"
        with self._lock:
            if self._stopping.is_set():
                return "was not started"
            try:
                self._process = subprocess.Popen(
                    COMMAND,
                    env=environment | pipe.environment(),
                    stdin=subprocess.DEVNULL,
                    pass_fds=[pipe.read_fd],
                    # Signals of the terminal reach their worker only, which passes them on.
                    start_new_session=True,
                )
            except OSError as error:
                return f"was not started ({text_of(error)})"
        code = self._process.wait()
        return f"ended with exit code {code}"

    def _send(self, number: signal.Signals) -> None:
        with self._lock:
            process = self._process
            if process is None or process.poll() is not None:
                return
            if number is signal.SIGKILL:
                # With the processes of its pool.
                os.killpg(process.pid, number)
            else:
                process.send_signal(number)

    def _release(self) -> None:
        pipe, self._death_pipe = self._death_pipe, None
        if pipe is not None:
            pipe.close()
