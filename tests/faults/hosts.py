"""Hosts of their own: network namespaces, each behind a link that the tests cut or spoil.

The link is made of two TUN devices, and this process carries the packets between them. So
the kernel sends again what is lost, and hears of no end, as with a real wire; unlike
`tc netem` it needs no module of the kernel.
"""

import fcntl
import heapq
import os
import random
import select
import shutil
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

from jobs_app.up.parent_death import ParentDeathPipe
from tests.faults.installation import Installation
from tests.servers import wait_until

TUN = Path("/dev/net/tun")
PROGRAMS = ("ip", "unshare", "nsenter")

#: From linux/if_tun.h: TUNSETIFF, and a device for IP packets without a header of its own.
SET_INTERFACE, FLAGS = 0x400454CA, 0x0001 | 0x1000
MAX_PACKET = 2048


class Link:
    """Carries packets between two devices: `delay_seconds` later each way, but for lost ones."""

    def __init__(self, near: str, far: str, *, seed: int) -> None:
        self.delay_seconds = 0.0
        self.loss = 0.0
        self.is_cut = False
        self._random = random.Random(seed)
        self._fds = [_open(name) for name in (near, far)]
        self._stop_fds = os.pipe()
        self._thread = threading.Thread(target=self._carry, name=f"link {near}", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the link; its devices are gone then."""
        os.close(self._stop_fds[1])
        self._thread.join()
        for fd in (*self._fds, self._stop_fds[0]):
            os.close(fd)

    def _carry(self) -> None:
        under_way: list[tuple[float, int, int, bytes]] = []
        number = 0
        while True:
            wait = max(under_way[0][0] - time.monotonic(), 0) if under_way else None
            readable, _, _ = select.select([*self._fds, self._stop_fds[0]], [], [], wait)
            if self._stop_fds[0] in readable:
                return
            for fd in readable:
                packet = os.read(fd, MAX_PACKET)
                if not self.is_cut and self._random.random() >= self.loss:
                    other = self._fds[1 - self._fds.index(fd)]
                    number += 1
                    heapq.heappush(
                        under_way, (time.monotonic() + self.delay_seconds, number, other, packet)
                    )
            while under_way and under_way[0][0] <= time.monotonic():
                _, _, other, packet = heapq.heappop(under_way)
                # A device that is not up yet takes nothing.
                with suppress(OSError):
                    if not self.is_cut:
                        os.write(other, packet)


class Host:
    """A host *name*, which reaches the servers of this machine at `server_address` alone."""

    def __init__(self, number: int) -> None:
        self.name = f"host-{number}"
        self.server_address = f"10.213.{number}.1"
        near, far = (f"jobs{os.getpid() % 100_000}{end}{number}" for end in "nf")
        self.link = Link(near, far, seed=number)
        self._death_pipe = ParentDeathPipe()
        command = f"hostname {self.name} && ip link set lo up && echo && exec sleep infinity"
        self._holder = subprocess.Popen(
            self._death_pipe.guarded_command(["unshare", "--net", "--uts", "sh", "-c", command]),
            pass_fds=[self._death_pipe.read_fd],
            stdout=subprocess.PIPE,
        )
        assert self._holder.stdout is not None
        with self._holder.stdout as output:
            output.readline()
        _run("ip", "address", "add", f"{self.server_address}/30", "dev", near)
        _run("ip", "link", "set", near, "up")
        _run("ip", "link", "set", far, "netns", str(self._holder.pid))
        _run(*self.inside("ip", "address", "add", f"10.213.{number}.2/30", "dev", far))
        _run(*self.inside("ip", "link", "set", far, "up"))

    def inside(self, *command: str) -> list[str]:
        """Return *command* as one that runs on this host."""
        return ["nsenter", "--target", str(self._holder.pid), "--net", "--uts", *command]

    def start_worker(self, installation: Installation) -> None:
        """Start the worker of this host, and return once it takes part."""
        with (installation.directory / f"{self._worker}.log").open("ab") as output:
            own = installation.surroundings()
            addresses = {
                name: own[name].replace("127.0.0.1", self.server_address)
                for name in ("JOBS_DATABASE_URL", "JOBS_REDIS_URL")
            }
            command = [sys.executable, "-P", "-m", "jobs_app", "worker"]
            installation.processes[self._worker] = subprocess.Popen(
                self.inside(*command),
                env=own | addresses | installation.death_pipe.environment(),
                pass_fds=[installation.death_pipe.read_fd],
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        wait_until(
            lambda: " ready." in installation.log(self._worker),
            f"{self._worker} is ready",
            timeout_seconds=60,
        )

    @property
    def _worker(self) -> str:
        return f"worker-{self.name}"

    def close(self) -> None:
        """Remove the host."""
        self._holder.kill()
        self._holder.wait()
        self._death_pipe.close()
        self.link.close()


@contextmanager
def hosts(count: int) -> Iterator[Sequence[Host]]:
    """Yield *count* hosts; skip the test where there can be none."""
    missing = [program for program in PROGRAMS if shutil.which(program) is None]
    if missing:
        pytest.skip(f"{', '.join(missing)} missing: Debian's packages iproute2 and util-linux")
    if os.geteuid() != 0 or not TUN.exists():
        pytest.skip(f"network namespaces need root and {TUN}")
    with ExitStack() as stack:
        made = []
        for number in range(1, count + 1):
            try:
                host = Host(number)
            except OSError as error:
                pytest.skip(f"no network namespaces here: {error}")
            stack.callback(host.close)
            made.append(host)
        yield made


def _open(name: str) -> int:
    fd = os.open(TUN, os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(fd, SET_INTERFACE, struct.pack("16sH22x", name.encode(), FLAGS))
    return fd


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)
