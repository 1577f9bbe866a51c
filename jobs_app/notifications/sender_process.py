"""The sender's end of the process that sends, which is never waited for long."""

import json
import os
import selectors
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from jobs_app.core.settings import SECRETS_DIR, Settings

#: How long one message may take, seconds.
SEND_SECONDS = 10.0

#: How long its process may take to start, on a busy machine; seconds.
START_SECONDS = 30.0

#: Beyond the time for a message, before its process is killed; seconds.
ANSWER_GRACE_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class SendRequest:
    """One message to send; `target` is the address, as it was encrypted."""

    id: str
    event: str
    target: dict[str, Any]
    kind: str
    title: str
    text: str
    document: dict[str, Any]
    seconds: float = SEND_SECONDS


class SenderProcess:
    """A process that sends, for one thread; closed, it is gone."""

    def __init__(self, settings: Settings) -> None:
        self._hello = {
            "allows_private": settings.allow_private_addresses,
            "http_allow": settings.http_allow,
            "own_servers": [asdict(server) for server in settings.own_servers],
            # What a URL may name as a file, none of it may be the installation's own.
            "closed_folders": [str(settings.data_dir), str(SECRETS_DIR), "/proc"],
        }
        self._process: subprocess.Popen[bytes] | None = None
        self._read = b""
        self._is_interrupted = False

    def send(self, order: SendRequest) -> str | None:
        """Send a message; return why it did not arrive, None if it did."""
        try:
            if self._process is None:
                self._start()
            self._write(asdict(order))
            answer = self._answer(order.seconds + ANSWER_GRACE_SECONDS)
        except (OSError, ValueError):
            self.close()
            return "The process that sends has died."
        if answer is None:
            self.close()
            return f"No answer within {order.seconds:g} s."
        error = answer.get("error")
        return None if error is None else str(error)

    def interrupt(self) -> None:
        """End the process for another thread, which notices that and closes; send no more."""
        self._is_interrupted = True
        process = self._process
        if process is not None:
            # Its pipes stay open: who waits at one that is closed does not see its end.
            process.kill()

    def close(self) -> None:
        """End the process, whatever it is doing; for the thread that sends."""
        process, self._process, self._read = self._process, None, b""
        if process is None:
            return
        process.kill()
        with suppress(OSError):
            process.communicate()

    def _start(self) -> None:
        """Start the process. Raises OSError, ValueError if it does not come up."""
        if self._is_interrupted:
            raise OSError("nothing is to be sent any more")
        own = {"JOBS_", "PYTHONPATH"}
        environment = {
            name: value
            for name, value in os.environ.items()
            if not any(name.startswith(prefix) for prefix in own)
        }
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "jobs_app.notifications.sender_main"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=Path(sys.prefix),
            env=environment,
            # Ctrl-C at the terminal is for the scheduler, which ends this one.
            start_new_session=True,
        )
        self._write(self._hello)
        if self._answer(START_SECONDS) is None:
            raise OSError("the process that sends did not start")

    def _write(self, message: dict[str, Any]) -> None:
        if self._process is None or self._process.stdin is None:
            raise OSError("there is no process that sends")
        self._process.stdin.write(json.dumps(message).encode() + b"\n")
        self._process.stdin.flush()

    def _answer(self, seconds: float) -> dict[str, Any] | None:
        """Return the next line, None if it does not come in time. Raises OSError at its end."""
        if self._process is None or self._process.stdout is None:
            raise OSError("there is no process that sends")
        deadline = time.monotonic() + seconds
        descriptor = self._process.stdout.fileno()
        with selectors.DefaultSelector() as selector:
            selector.register(descriptor, selectors.EVENT_READ)
            while b"\n" not in self._read:
                left = deadline - time.monotonic()
                if left <= 0 or not selector.select(left):
                    return None
                part = os.read(descriptor, 65_536)
                if not part:
                    raise OSError("the process that sends is gone")
                self._read += part
        line, _, self._read = self._read.partition(b"\n")
        found: dict[str, Any] = json.loads(line)
        return found
