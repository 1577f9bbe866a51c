"""A client of the pages."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.web.conftest import Api

#: A client that asks for pages: `page("/jobs")`, with headers as keywords.
Page = Callable[..., Any]


@pytest.fixture
def page(api: Api) -> Page:
    """Return a function that gets a page as a browser does."""

    def get(path: str, **headers: str) -> Any:
        return api.get(f"/{path}", headers={"Accept": "text/html", **headers})

    return get
