"""`deploy/prove`: compose.yaml on a real Docker engine, in the nightly profile."""

import os
import shlex
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROVE = ROOT / "deploy/prove"

#: Words that reach an engine which is not that of this machine: `podman exec -i NAME`.
ENGINE = os.environ.get("JOBS_TEST_DOCKER", "")


def prove(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([PROVE, *arguments], capture_output=True, text=True, check=False)


def test_without_an_engine_it_says_so_and_changes_nothing() -> None:
    answer = prove("--engine", "false")

    assert answer.returncode == 1
    assert answer.stderr.startswith("No Docker engine with Compose answers: false docker info")
    assert answer.stdout == ""


def test_a_step_that_there_is_not_is_refused() -> None:
    answer = prove("--engine", "false", "no-step")

    assert answer.returncode == 2
    assert "no such step: no-step" in answer.stderr


@pytest.fixture
def engine() -> None:
    """A Docker engine with Compose, which the default profile does without."""
    for words in (["docker", "info"], ["docker", "compose", "version"]):
        try:
            asked = subprocess.run([*shlex.split(ENGINE), *words], capture_output=True, timeout=30)
        except FileNotFoundError:
            pytest.skip(f"{shlex.join(words)}: no such program; JOBS_TEST_DOCKER may name another")
        if asked.returncode:
            pytest.skip(f"{shlex.join(words)} fails: no Docker engine with Compose answers")


@pytest.mark.nightly
@pytest.mark.timeout(1800)
def test_compose_does_what_the_documents_say(engine: None) -> None:
    answer = prove("--engine", ENGINE)

    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert answer.stdout.count(" s  ") == 13
