"""A browser in which an admin is signed in."""

from collections.abc import Callable

import pytest

from tests.web.conftest import OURS as OURS
from tests.web.conftest import Page as Page


@pytest.fixture
def page(page_of: Callable[..., Page]) -> Page:
    """A browser in which an admin is signed in."""
    return page_of("admin", name="page-admin")
