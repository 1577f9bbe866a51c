"""What each profile runs: on which databases, and with which parameters.

A test runs on both databases unless it says otherwise. Where its subject is the same on
both, the default profile runs it on one of them, and `--nightly` on both.
"""

import os
from collections import defaultdict
from collections.abc import Iterable
from zlib import crc32

import pytest

sqlite_nightly = pytest.mark.parametrize(
    "database_url",
    ["postgresql", pytest.param("sqlite", marks=pytest.mark.nightly)],
    indirect=True,
)
postgresql_nightly = pytest.mark.parametrize(
    "database_url",
    ["sqlite", pytest.param("postgresql", marks=pytest.mark.nightly)],
    indirect=True,
)

#: For the tests in which a pool of threads differs little from one of processes.
threads_nightly = pytest.param("threads", marks=pytest.mark.nightly)

#: Tests in which the default profile leaves out no parameter: the ledger and its clock.
ALL_PARAMETERS = tuple(
    f"tests/{name}/" for name in ("db", "faults", "integration", "runs", "scheduler", "simulation")
)
#: How many parameters of any other test that needs a database the default profile tries.
MAX_PARAMETERS = 3


#: Set in the environment of the nightly tests.
NIGHTLY = "JOBS_TESTS_NIGHTLY"


def examples(count: int) -> int:
    """Return how many examples hypothesis tries: *count* by night, a third of them by default."""
    return count if NIGHTLY in os.environ else count // 3


def leave_parameters_to_nightly(items: Iterable[pytest.Item]) -> None:
    """Mark all but MAX_PARAMETERS of each test that needs a database, which makes it slow.

    Which ones stay is the same on each machine. A test without a database keeps all, unless its
    mark `few` says how many.
    """
    tests = defaultdict[tuple[str, int], list[pytest.Item]](list)
    for item in items:
        is_default = not any(map(item.get_closest_marker, ("nightly", "chaos", "search")))
        if is_default and (count := _parameters_of(item)):
            tests[item.nodeid.partition("[")[0], count].append(item)
    for (_, count), variants in tests.items():
        variants.sort(key=lambda item: crc32(item.nodeid.encode()))
        for item in variants[count:]:
            item.add_marker(pytest.mark.nightly)


def _parameters_of(item: pytest.Item) -> int | None:
    """Return how many parameters of a test the default profile tries; None for all."""
    if (few := item.get_closest_marker("few")) is not None:
        return int(few.args[0])
    needs_database = "database_url" in getattr(item, "fixturenames", ())
    is_whole = not needs_database or item.nodeid.startswith(ALL_PARAMETERS)
    return None if is_whole else MAX_PARAMETERS
