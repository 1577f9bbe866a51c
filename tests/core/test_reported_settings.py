"""What processes report of their settings: no secret, and only what exists."""

from jobs_app.core import reported_settings
from jobs_app.core.reported_settings import OF_ALL, OF_SCHEDULERS, OF_WEB, OF_WORKERS
from jobs_app.core.settings import Settings

REPORTS = (
    reported_settings.of_scheduler,
    reported_settings.of_worker,
    reported_settings.of_web_server,
)


def test_no_secret_is_reported() -> None:
    reported = {name for report in REPORTS for name in report(Settings())}

    assert reported >= {*OF_ALL, *OF_SCHEDULERS, *OF_WORKERS, *OF_WEB}
    assert not reported & Settings.secret_fields()
    assert not {name for name in reported if name.endswith(("_url", "_key"))} - {"public_url"}


def test_the_web_server_is_compared_with_schedulers_only_in_what_they_report() -> None:
    assert reported_settings.of_web_server(Settings()).items() <= (
        reported_settings.of_scheduler(Settings()).items()
    )
