"""Preparation of the database by `jobs-app up`: schema, key, admin token, demo jobs."""

from jobs_app.accounts import links
from jobs_app.accounts.admin_token import ensure_admin_token
from jobs_app.core import clock
from jobs_app.core.settings import Settings
from jobs_app.db.migrations import migrate
from jobs_app.secrets.encryption import load_cipher
from jobs_app.up.programs import announce


def prepare(settings: Settings, *, with_demo: bool) -> str | None:
    """Migrate the schema, and create the key, the admin token and the demo's jobs.

    Return the key of the link that makes the first admin, None if there is a person.
    """
    load_cipher(settings, makes_key=True)
    migrate(settings)
    ensure_admin_token(settings)
    if with_demo:
        # Celery and the job services, of no use to `up` itself, which stays in memory.
        from jobs_app.up import demo  # noqa: PLC0415 (the reason is above)

        names = demo.add(settings, at=clock.now())
        announce(f"for the demo there are the jobs {', '.join(names)}")
    return links.welcome_key(settings, at=clock.now())
