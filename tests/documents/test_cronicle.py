"""The script of docs/cronicle.md, as it stands there."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from jobs_app.cli.yaml_format import read_set
from jobs_app.core.settings import Settings
from jobs_app.jobs.schedule_input import schedules_from
from jobs_app.web.api.schemas.job_input import JobIn
from tests.documents.pages import blocks

#: An event with the fields that Cronicle's get_schedule has for each.
EVENT = {
    "enabled": 1,
    "title": "Rebuild indexes",
    "plugin": "shellplug",
    "params": {"script": "#!/bin/bash\n\nreindex --all\n"},
    "timing": {"hours": [4, 16], "minutes": [30]},
    "timezone": "America/New_York",
    "timeout": 3600,
    "catch_up": False,
    "max_children": 1,
    "retries": 2,
    "retry_delay": 30,
    "notes": "",
}
OTHERS: list[dict[str, Any]] = [
    {"title": "By hand", "timing": False, "enabled": 0, "retries": 0},
    {"title": "All of them", "timing": {"minutes": [5]}, "catch_up": True},
    {"title": "Several at once", "timing": {"minutes": [5]}, "max_children": 4},
    {"title": "Both days", "timing": {"days": [1], "weekdays": [1], "minutes": [0]}},
    {"title": "One year", "timing": {"years": [2030], "minutes": [0]}},
    {"title": "A request", "plugin": "urlplug"},
    {"title": "In Perl", "params": {"script": "#!/usr/bin/perl\nprint 1"}},
]


def test_the_script_makes_jobs_of_events_and_names_what_it_leaves_out(tmp_path: Path) -> None:
    (code,) = (block.text for block in blocks("docs/cronicle.md") if block.language == "python")
    events = [EVENT, *({**EVENT, **other} for other in OTHERS)]
    (tmp_path / "events.json").write_text(json.dumps({"rows": events}))

    done = subprocess.run(
        [sys.executable, "-c", code, "events.json"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )

    name, jobs = read_set(done.stdout)
    made = {job["name"]: JobIn.model_validate(job) for job in jobs}
    for job in made.values():
        schedules_from(job.model_dump(exclude_unset=True), Settings(), seed=job.name)
    assert name == "cronicle"
    assert list(made) == ["rebuild-indexes", "by-hand", "all-of-them", "several-at-once"]
    first = made["rebuild-indexes"].model_dump(exclude_unset=True)
    assert first["kwargs"] == {"command": "reindex --all", "shell": "/bin/bash"}
    assert first["schedule"] == {"cron": "30 4,16 * * *", "timezone": "America/New_York"}
    assert first["retry"]["max_attempts"] == 3
    assert made["all-of-them"].model_dump()["overlap_policy"] == "buffer_all"
    assert made["several-at-once"].model_dump()["overlap_policy"] == "allow_all"
    left_out = [line for line in done.stderr.splitlines() if line.startswith("left out: ")]
    assert [line.split(": ")[1] for line in left_out] == [
        "Both days",
        "One year",
        "A request",
        "In Perl",
    ]
    assert "not enabled in Cronicle: By hand" in done.stderr
