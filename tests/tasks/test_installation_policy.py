"""The rules of an installation know the servers that its Sentinels name."""

import pytest

from jobs_app.core.settings import Settings
from jobs_app.tasks.installation_policy import broker_policy, http_policy, sentinel_look_up


@pytest.mark.parametrize("url", [None, "redis://127.0.0.1:6379/0"])
def test_without_sentinels_nobody_is_asked(url: str | None, tmp_path) -> None:
    assert sentinel_look_up(Settings(data_dir=tmp_path, redis_url=url)) is None


def test_tasks_ask_the_sentinels_which_servers_are_our_own(tmp_path) -> None:
    url = "redis+sentinel://:pw@127.0.0.1:1/jobs/0"
    settings = Settings(data_dir=tmp_path, redis_url=url, celery_allow="10.0.0.0/8")

    policies = [http_policy(settings), broker_policy(settings)]

    # None: no Sentinel has answered.
    assert [policy.look_up_own and policy.look_up_own() for policy in policies] == [None, None]
    assert [policy.setting for policy in policies] == ["JOBS_HTTP_ALLOW", "JOBS_CELERY_ALLOW"]
    assert all(server.port == 1 for policy in policies for server in policy.own)
