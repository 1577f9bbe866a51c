"""A worker of a plain Celery, with the tasks of `shop.py`."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from jobs_app.up.parent_death import ParentDeathPipe
from tests.servers import wait_until


@contextmanager
def running_shop(directory: Path, *, broker: str, results: str) -> Iterator[Path]:
    """Run a worker of two processes in *directory*; yields its log."""
    (directory / "shop.py").write_text(Path(__file__).with_name("shop.py").read_text())
    log = directory / "worker.log"
    death_pipe = ParentDeathPipe()
    command = [sys.executable, "-m", "celery", "-A", "shop", "worker", "--concurrency=2"]
    command += ["--without-gossip", "--without-mingle", "--without-heartbeat", "--loglevel=INFO"]
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("JOBS_", "PYTHON"))}
    environment |= {"SHOP_BROKER": broker, "SHOP_RESULTS": results}
    with log.open("wb") as output:
        worker = subprocess.Popen(
            death_pipe.guarded_command(command),
            cwd=directory,
            env=environment,
            pass_fds=[death_pipe.read_fd],
            stdout=output,
            stderr=output,
        )
    try:
        wait_until(lambda: " ready." in log.read_text(), "the worker is ready", timeout_seconds=20)
        yield log
    finally:
        # At once: a task of a test that failed may wait for its gate.
        worker.send_signal(signal.SIGQUIT)
        worker.wait(20)
        death_pipe.close()
