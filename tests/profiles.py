"""Marks for tests of processes that each profile runs on another database.

A test runs on both databases unless it says otherwise. Where its subject is the same on
both, the default profile runs it on one of them, and `--nightly` on both.
"""

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
