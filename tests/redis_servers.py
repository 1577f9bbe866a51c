"""Redis or Valkey servers and Sentinels with configurations of their own, all on loopback."""

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import redis

from jobs_app.up.parent_death import ParentDeathPipe
from jobs_app.up.valkey import free_port, valkey_binary
from tests.servers import wait_until

PASSWORD, SENTINEL_PASSWORD = "of-redis", "of-sentinel"
SERVICE = "jobs"


class RedisProgram:
    """One server, or one Sentinel; it keeps its port and its files over restarts."""

    def __init__(
        self, configuration: str = "", *, program: Path | None = None, is_sentinel: bool = False
    ) -> None:
        self.port, self.tls_port = free_port(), free_port()
        self.directory = Path(tempfile.mkdtemp(prefix="jobs-redis-"))
        self._death_pipe = ParentDeathPipe(scratch=str(self.directory))
        self._file = self.directory / "redis.conf"
        self._file.write_text(
            f'dir {self.directory}\nlogfile log\nport {self.port}\nbind 127.0.0.1\nsave ""\n'
        )
        self.configure(configuration)
        command = [str(program or valkey_binary()), str(self._file)]
        self._command = [*command, "--sentinel"] if is_sentinel else command
        self._process: subprocess.Popen[bytes] | None = None

    def configure(self, lines: str) -> None:
        """Add *lines* to its configuration, before it starts."""
        with self._file.open("a") as file:
            file.write(lines)

    def start(self) -> None:
        """Start it, and return once it listens."""
        self._process = subprocess.Popen(
            self._death_pipe.guarded_command(self._command),
            pass_fds=[self._death_pipe.read_fd],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        wait_until(lambda: "eady to accept" in self.log() or "monitor" in self.log(), self.log())

    def log(self) -> str:
        """Return what it has logged."""
        with suppress(OSError):
            return (self.directory / "log").read_text(errors="replace")
        return ""

    def client(self, password: str = PASSWORD, **options: object) -> "redis.Redis":
        """Return a new client; the caller closes it."""
        url = f"redis://:{password}@127.0.0.1:{self.port}"
        return redis.Redis.from_url(url, decode_responses=True, **options)

    def kill(self) -> None:
        """End it as a crash would (kill -9)."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def pause(self) -> None:
        """Freeze it: its connections stay, and nothing comes through (SIGSTOP)."""
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on (SIGCONT)."""
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGCONT)

    def close(self) -> None:
        """End it for good and remove its files."""
        self.kill()
        self._death_pipe.close()
        shutil.rmtree(self.directory, ignore_errors=True)


@contextmanager
def running(programs: Sequence[RedisProgram]) -> Iterator[None]:
    """Start *programs*, and close them at the end of the block."""
    with ExitStack() as stack:
        for program in programs:
            stack.callback(program.close)
            program.start()
        yield


class Watched:
    """A server with a replica, and Sentinels that make the replica the master when need be."""

    def __init__(self, sentinels: int = 3, *, with_replica: bool = True) -> None:
        own = f"requirepass {PASSWORD}\nmasterauth {PASSWORD}\nrepl-diskless-sync-delay 0\n"
        self.master = RedisProgram(own)
        following = f"replicaof 127.0.0.1 {self.master.port}\n"
        self.replicas = [RedisProgram(own + following)] if with_replica else []
        self.sentinels = [
            RedisProgram(self._configuration(sentinels // 2 + 1), is_sentinel=True)
            for _ in range(sentinels)
        ]

    def _configuration(self, quorum: int) -> str:
        return f"""\
requirepass {SENTINEL_PASSWORD}
sentinel sentinel-pass {SENTINEL_PASSWORD}
sentinel monitor {SERVICE} 127.0.0.1 {self.master.port} {quorum}
sentinel auth-pass {SERVICE} {PASSWORD}
sentinel down-after-milliseconds {SERVICE} 1500
sentinel failover-timeout {SERVICE} 4000
"""

    @property
    def url(self) -> str:
        """The address for JOBS_REDIS_URL."""
        hosts = ",".join(f"127.0.0.1:{sentinel.port}" for sentinel in self.sentinels)
        options = f"sentinel_password={SENTINEL_PASSWORD}"
        return f"redis+sentinel://:{PASSWORD}@{hosts}/{SERVICE}/0?{options}"

    @contextmanager
    def running(self) -> Iterator[None]:
        """Run all of them in the block, once the Sentinels know each other."""
        with running([self.master, *self.replicas, *self.sentinels]):
            wait_until(self._is_complete, "the Sentinels know all", timeout_seconds=20)
            yield

    def master_port(self) -> int:
        """Return the port of the server that the first Sentinel takes for the master."""
        return int(self._state()["port"])

    def _is_complete(self) -> bool:
        counts = ("num-slaves", "num-other-sentinels")
        expected = (len(self.replicas), len(self.sentinels) - 1)
        return all(
            tuple(self._state(n)[name] for name in counts) == expected
            for n in range(len(self.sentinels))
        )

    def _state(self, number: int = 0) -> dict[str, int]:
        with self.sentinels[number].client(SENTINEL_PASSWORD) as client:
            state: dict[str, int] = client.sentinel_master(SERVICE)
            return state
