"""The profiles of the tests: whatever the default one leaves out, the nightly one runs."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SEARCH = "tests/simulation/test_mutants.py::test_the_table_is_brought_up_to_date"

#: What is collected, by the options that select it.
OPTIONS = {
    "everything": ["-m", "chaos or not chaos", "--mutant-search"],
    "default": [],
    "nightly": ["--nightly"],
    "marked chaos": ["-m", "chaos"],
    "marked nightly": ["-m", "nightly"],
}

#: Collects again and again in one process, since most of the time goes into imports.
COLLECT = """
import json, sys
import pytest

class Collected:
    def pytest_collection_finish(self, session):
        self.ids = [item.nodeid for item in session.items]

options, files = json.loads(sys.argv[1])
found = {}
for name, given in options.items():
    plugin = Collected()
    usual = ["--collect-only", "-qq", "-p", "no:randomly", "-p", "no:cacheprovider"]
    assert pytest.main([*usual, *given, *files], plugins=[plugin]) == 0
    found[name] = plugin.ids
print("\\n" + json.dumps(found))
"""


def _files_with_marks() -> list[str]:
    """Return the files that name a mark of a profile: no other test can leave the default one."""
    marks = ("mark.chaos", "mark.nightly", "mark.search")
    return [
        str(file.relative_to(ROOT))
        for file in sorted((ROOT / "tests").rglob("test_*.py"))
        if file != Path(__file__) and any(mark in file.read_text() for mark in marks)
    ]


@pytest.fixture(scope="module")
def collected() -> dict[str, set[str]]:
    """The ids of the tests that pytest selects, by the names of OPTIONS."""
    done = subprocess.run(
        [sys.executable, "-c", COLLECT, json.dumps([OPTIONS, _files_with_marks()])],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return {name: set(ids) for name, ids in json.loads(done.stdout.splitlines()[-1]).items()}


def test_the_nightly_profile_runs_every_test_but_those_that_write_the_table(
    collected: dict[str, set[str]],
) -> None:
    left_out = collected["everything"] - collected["nightly"]

    assert left_out == {f"{SEARCH}[sqlite_store]", f"{SEARCH}[postgres_store]"}


def test_the_default_profile_leaves_out_what_is_marked_and_nothing_else(
    collected: dict[str, set[str]],
) -> None:
    left_out = collected["nightly"] - collected["default"]

    assert collected["marked chaos"]
    assert collected["marked nightly"]
    assert left_out == collected["marked chaos"] | collected["marked nightly"]
