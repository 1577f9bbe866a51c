"""Starts a sender process and sends messages through it, with a limit on each wait."""

import json
import os
import selectors
import signal
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any

from jobs_app.core.fork_server import plain_environment, spawn
from jobs_app.core.forked_process import ForkedProcess
from jobs_app.core.secret_files import CONTAINER_DIRECTORY, SECRETS_DIRECTORIES
from jobs_app.core.settings import Settings
from jobs_app.tasks.installation_policy import sentinel_look_up

#: How long one message may take, seconds.
SEND_SECONDS = 10.0

#: How long a process may take to start, on a busy machine; seconds.
START_SECONDS = 30.0

#: Seconds after the time of a message until its process is killed.
ANSWER_GRACE_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class SendRequest:
    """One message to send; `target` is the decrypted address of the channel."""

    id: str
    event: str
    target: dict[str, Any]
    kind: str
    title: str
    text: str
    document: dict[str, Any]
    seconds: float = SEND_SECONDS


def closed_folders(settings: Settings) -> list[str]:
    """Return the folders that a channel URL must not read: those of this installation."""
    folders = (settings.data_dir, CONTAINER_DIRECTORY, *SECRETS_DIRECTORIES)
    return [*map(str, folders), "/proc"]


class SenderProcess:
    """A process that sends messages, for one thread. It starts with the first message."""

    def __init__(self, settings: Settings) -> None:
        self._options = {
            "allows_private": settings.allow_private_addresses,
            "http_allow": settings.http_allow,
            "own_servers": [asdict(server) for server in settings.own_servers],
            "closed_folders": closed_folders(settings),
        }
        self._look_up_own = sentinel_look_up(settings)
        self._process: ForkedProcess | None = None
        self._requests = self._answers = -1
        self._buffer = b""
        self._is_interrupted = False

    def send(self, request: SendRequest) -> str | None:
        """Send a message; return why it was not sent, None if it was."""
        try:
            if self._process is None:
                self._start()
            self._write(asdict(request) | self._named_servers())
            answer = self._answer(request.seconds + ANSWER_GRACE_SECONDS)
        except (OSError, ValueError):
            self.close()
            return "The sender process has died."
        if answer is None:
            self.close()
            return f"No answer within {request.seconds:g} s."
        error = answer.get("error")
        return None if error is None else str(error)

    def _named_servers(self) -> dict[str, Any]:
        """Return the servers that the Sentinels name now, for the rules; null if none answers."""
        servers = () if self._look_up_own is None else self._look_up_own()
        return {"named_servers": None if servers is None else list(map(asdict, servers))}

    def interrupt(self) -> None:
        """Kill the process from another thread; its own thread notices and closes. Send no more."""
        self._is_interrupted = True
        process = self._process
        if process is not None:
            # Leave its pipes open: a thread that reads one would not notice that it was closed.
            with suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)

    def close(self) -> None:
        """Kill the process, whatever it is doing; for the thread that sends."""
        process, self._process, self._buffer = self._process, None, b""
        if process is None:
            return
        process.kill()
        for descriptor in (self._requests, self._answers):
            os.close(descriptor)
        process.wait()
        process.close()

    def _start(self) -> None:
        """Start the process. Raises OSError or ValueError if it does not become ready."""
        if self._is_interrupted:
            raise OSError("the sender is stopping")
        requests, self._requests = os.pipe()
        self._answers, answers = os.pipe()
        try:
            self._process = spawn(
                "jobs_app.notifications.sender_main:main",
                fds=[requests, answers],
                environment=plain_environment(),
                title="jobs-app sender",
            )
        except BaseException:
            os.close(self._requests)
            os.close(self._answers)
            raise
        finally:
            os.close(requests)
            os.close(answers)
        self._write(self._options)
        if self._answer(START_SECONDS) is None:
            raise OSError("the sender process did not start")

    def _write(self, message: dict[str, Any]) -> None:
        data = memoryview(json.dumps(message).encode() + b"\n")
        while data:
            data = data[os.write(self._requests, data) :]

    def _answer(self, seconds: float) -> dict[str, Any] | None:
        """Return the next answer, None if it is late. Raises OSError if the process is gone."""
        deadline = time.monotonic() + seconds
        with selectors.DefaultSelector() as selector:
            selector.register(self._answers, selectors.EVENT_READ)
            while b"\n" not in self._buffer:
                left = deadline - time.monotonic()
                if left <= 0 or not selector.select(left):
                    return None
                part = os.read(self._answers, 65_536)
                if not part:
                    raise OSError("the sender process is gone")
                self._buffer += part
        line, _, self._buffer = self._buffer.partition(b"\n")
        answer: dict[str, Any] = json.loads(line)
        return answer
