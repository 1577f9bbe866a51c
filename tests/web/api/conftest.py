"""The tests of this folder share an application for each database."""

from tests.web.shared_app import app as app
from tests.web.shared_app import apps as apps
from tests.web.shared_app import known_settings as known_settings
from tests.web.shared_app import settings as settings
