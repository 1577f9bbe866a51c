"""What a web server without `up` makes at its first start: the admin's token, and a link."""

import logging
from collections.abc import Callable

from sqlalchemy.exc import SQLAlchemyError

from jobs_app.accounts import admin_token, links
from jobs_app.core import clock
from jobs_app.core.settings import Settings
from jobs_app.core.web_address import link_address

log = logging.getLogger(__name__)


def prepare(settings: Settings, show_link: Callable[[str], None] | None) -> None:
    """Make the admin's token if there is none; show a link while nobody can sign in."""
    try:
        admin_token.ensure_first_token(settings)
        if show_link and (key := links.welcome_key(settings, at=clock.now())):
            show_link(link_address(settings, key))
    except SQLAlchemyError as error:
        # Unreachable, or not migrated yet: readyz says so, and the next start tries again.
        log.warning("no_admin_token error=%s", str(error).partition("\n")[0])
