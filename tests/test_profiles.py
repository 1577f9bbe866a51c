"""The profiles of the tests: whatever the default one leaves out, the nightly one runs."""

import json
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterable
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


#: A file of tests that run on one database in the default profile, on both in the nightly one.
ONE_DATABASE_FILE = "tests/web/api/test_jobs.py"


def _files_with_marks() -> list[str]:
    """Return the files that name a mark of a profile."""
    marks = ("mark.chaos", "mark.nightly", "_nightly", "mark.search", "mark.few")
    return [
        str(file.relative_to(ROOT))
        for file in sorted((ROOT / "tests").rglob("test_*.py"))
        if file != Path(__file__)
        and (
            any(mark in file.read_text() for mark in marks) or str(file).endswith(ONE_DATABASE_FILE)
        )
    ]


def _collected() -> dict[str, set[str]]:
    """Return the ids of the tests that pytest selects, by the names of OPTIONS."""
    done = subprocess.run(
        [sys.executable, "-c", COLLECT, json.dumps([OPTIONS, _files_with_marks()])],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return {name: set(ids) for name, ids in json.loads(done.stdout.splitlines()[-1]).items()}


# One test, since the collection takes seconds.
@pytest.mark.nightly
def test_nightly_runs_all_but_the_search_and_the_default_what_is_not_marked() -> None:
    collected = _collected()

    not_nightly = collected["everything"] - collected["nightly"]
    assert not_nightly == {f"{SEARCH}[sqlite_store]", f"{SEARCH}[postgres_store]"}
    assert collected["marked chaos"]
    assert collected["marked nightly"]
    not_default = collected["nightly"] - collected["default"]
    assert not_default == collected["marked chaos"] | collected["marked nightly"]
    on_both = {
        test for test, databases in _databases(collected["nightly"]).items() if len(databases) == 2
    }
    in_default = _databases(collected["default"])
    # On none where the test has too many parameters.
    assert {len(in_default.get(test, ())) for test in on_both} == {0, 1}
    assert set.union(*in_default.values()) == {"sqlite", "postgresql"}
    assert _functions(on_both) <= _functions(in_default)


def _functions(ids: Iterable[str]) -> set[str]:
    return {nodeid.partition("[")[0] for nodeid in ids}


def _databases(ids: set[str]) -> dict[str, set[str]]:
    """Return the databases that each test of ONE_DATABASE_FILE is run on."""
    found = defaultdict[str, set[str]](set)
    for nodeid in ids:
        database = re.search("sqlite|postgresql", nodeid)
        if nodeid.startswith(ONE_DATABASE_FILE) and database:
            found[nodeid.replace(database[0], "", 1)].add(database[0])
    return found
