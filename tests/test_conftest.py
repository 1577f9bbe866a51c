"""A test leaves the process as it found it."""

import os

import pytest


def umask_now() -> int:
    umask = os.umask(0o022)
    os.umask(umask)
    return umask


@pytest.fixture(scope="module")
def first_umask() -> int:
    """The umask before the first test of this module."""
    return umask_now()


@pytest.mark.parametrize("umask", [0o027, 0o007])
def test_the_umask_of_a_test_ends_with_it(first_umask: int, umask: int) -> None:
    assert umask_now() == first_umask

    os.umask(umask)
