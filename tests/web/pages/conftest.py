"""A browser in which an admin is signed in, and an application for each database."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from flask import Flask

from jobs_app.web import session as web_session
from tests.web.conftest import OURS as OURS
from tests.web.conftest import Page as Page
from tests.web.shared_app import app as app
from tests.web.shared_app import apps as apps
from tests.web.shared_app import known_settings as known_settings
from tests.web.shared_app import settings as settings


@pytest.fixture
def page(page_of: Callable[..., Page]) -> Page:
    """A browser in which an admin is signed in."""
    return page_of("admin", name="page-admin")


@pytest.fixture
def app_database(app: Flask) -> Any:
    """The database as the application has it open, for `tests.plans.captured`."""
    with app.app_context():
        return SimpleNamespace(engine=web_session.database.engine)
