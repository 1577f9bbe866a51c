"""What `jobs-app up` takes of a small machine, and how long its commands take.

The memory is the proportional set size (PSS) of all processes together: a page that several
share counts once. It is in MiB; the goal, 250 MB, is 238 MiB. It is read after the start and
after use: forty jobs, two of them every few seconds, with pages and lists that are asked for
all the time.
"""

import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil

from bench.report import save, table
from bench.soak import Installation

USE_SECONDS, QUICK_USE_SECONDS = 3600, 120
IDLE_SECONDS, QUICK_IDLE_SECONDS = 120, 20
STARTS, COMMANDS = 5, 15
#: Seconds after the start until nothing of it is left to do.
SETTLE_SECONDS = 10
MIB, MB = 2**20, 10**6

JOBS: dict[str, Sequence[str]] = {
    "every-2-seconds": ["--command", "echo done", "--every", "2s"],
    "every-5-seconds": ["--task", "sleep", "--arg", "duration=1", "--every", "5s"],
    **{
        f"minute-{number}": ["--command", f"echo {number}", "--cron", "* * * * *"]
        for number in range(8)
    },
    **{
        f"night-{number}": ["--command", "df -h /", "--cron", f"{number} 2 * * *"]
        for number in range(30)
    },
}
PAGES = ("/api/v1/jobs", "/api/v1/runs?limit=100", "/api/v1/attention", "/sign-in")


def run(*, quick: bool = False) -> None:
    """Measure and print; `bench/out/footprint.json` has the figures."""
    with tempfile.TemporaryDirectory(prefix="jobs-footprint-") as directory:
        result = _measure(Path(directory), quick=quick)
    print(table(["", "median"], [[name, str(value)] for name, value in result.items()]))
    save("footprint", {"footprint": result})


def _measure(directory: Path, *, quick: bool) -> dict[str, Any]:
    _started(directory)[0].stop()
    starts = []
    for _ in range(STARTS - 1):
        installation, seconds = _started(directory)
        installation.stop()
        starts.append(seconds)
    installation, seconds = _started(directory)
    starts.append(seconds)
    try:
        time.sleep(SETTLE_SECONDS)
        at_start = memory(installation)
        idle = _cpu_share(installation, QUICK_IDLE_SECONDS if quick else IDLE_SECONDS)
        seconds = QUICK_USE_SECONDS if quick else USE_SECONDS
        _use(installation, seconds)
        after = memory(installation)
        lists = [_seconds_of(lambda: installation.command("job", "list")) for _ in range(COMMANDS)]
        helps = [_seconds_of(lambda: installation.command("--help")) for _ in range(COMMANDS)]
    finally:
        installation.stop()
    bare = [_seconds_of(_bare_python) for _ in range(COMMANDS)]
    return {
        "memory after the start, MiB": _by_process(at_start),
        f"memory after {seconds / 60:g} minutes of use, MiB": _by_process(after),
        "idle, % of a core": round(100 * idle, 2),
        "start until /readyz answers, s": round(statistics.median(starts), 2),
        "job list, ms": round(1000 * statistics.median(lists)),
        "--help, ms": round(1000 * statistics.median(helps)),
        "Python alone, ms": round(1000 * statistics.median(bare)),
    }


def _started(directory: Path) -> tuple[Installation, float]:
    began = time.monotonic()
    installation = Installation(directory)
    while not _answers(installation, "/readyz"):
        time.sleep(0.02)
    return installation, time.monotonic() - began


def _answers(installation: Installation, path: str) -> bool:
    try:
        request = urllib.request.Request(installation.url + path, headers=installation.headers)  # noqa: S310 (loopback)
        with urllib.request.urlopen(request, timeout=5) as answer:  # noqa: S310 (loopback)
            answer.read()
    except OSError:
        return False
    return True


def _use(installation: Installation, seconds: float) -> None:
    """Let forty jobs run for *seconds*, and ask for pages and lists all the while."""
    for name, options in JOBS.items():
        installation.command("job", "create", name, *options)
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        for page in PAGES:
            _answers(installation, page)
        time.sleep(2)


def memory(installation: Installation) -> dict[str, float]:
    """Return the proportional set size of each process, MiB, by its command line and number."""
    sizes = {}
    for process in installation.processes():
        try:
            words = " ".join(process.cmdline()).split()
            name = " ".join(words[:2]) if words[:1] == ["jobs-app"] else Path(words[0]).name
            sizes[f"{name} {process.pid}"] = process.memory_full_info().pss / MIB
        except (psutil.NoSuchProcess, IndexError):
            # The process of a command ends meanwhile.
            continue
    return sizes


def _by_process(sizes: dict[str, float]) -> str:
    ordered = sorted(sizes.items(), key=lambda item: -item[1])
    parts = ", ".join(f"{name.rpartition(' ')[0]} {size:.0f}" for name, size in ordered)
    total = sum(sizes.values())
    return f"{total:.0f}, that is {total * MIB / MB:.0f} MB ({parts})"


def _cpu_share(installation: Installation, seconds: float) -> float:
    """Return the processor time of all processes per second, while nothing is due."""

    def used() -> float:
        return sum(sum(process.cpu_times()[:2]) for process in installation.processes())

    before, began = used(), time.monotonic()
    time.sleep(seconds)
    return (used() - before) / (time.monotonic() - began)


def _seconds_of(call: Any) -> float:
    began = time.monotonic()
    call()
    return time.monotonic() - began


def _bare_python() -> None:
    subprocess.run([sys.executable, "-P", "-c", "pass"], check=True)
