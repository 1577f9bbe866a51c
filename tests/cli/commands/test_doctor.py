"""`jobs-app doctor`: from this machine, and by the server."""

import json
from collections.abc import Callable

import pytest
from click.testing import Result

from jobs_app.core.settings import Settings
from tests.cli.canned import Canned, CannedServer

Run = Callable[..., Result]

FINDING = {
    "check": "disk",
    "level": "warning",
    "sentence": "The disk is nearly full.",
    "remedy": "Make room.",
    "docs": "docs/doctor.md#disk",
}


def test_it_looks_from_this_machine(
    settings: Settings, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JOBS_REDIS_URL", "redis://127.0.0.1:1/0")

    result = run("doctor")
    as_json = run("doctor", "--json")

    assert result.exit_code == 2
    assert "Error: Redis does not answer" in result.stdout
    assert "See docs/doctor.md#redis." in result.stdout
    assert "Not looked at: redis_eviction, because Redis does not answer." in result.stderr
    report = json.loads(as_json.stdout)
    assert report["level"] == "error"
    assert "migrations" in report["passed"]
    assert settings.data_dir.exists()


@pytest.mark.parametrize("level, code", [(None, 0), ("warning", 1), ("error", 2)])
def test_the_exit_code_says_how_bad_it_is(
    server: CannedServer, run: Run, level: str | None, code: int
) -> None:
    findings = [] if level is None else [FINDING | {"level": level}]
    report = {"level": level, "findings": findings, "passed": ["root"], "skipped": []}
    server.on("GET", "/doctor", Canned(report))

    result = run("doctor", "--server")

    assert result.exit_code == code
    assert f"1 check passed, {len(findings)} finding" in result.stdout
