"""GET /doctor: what the web server finds, for admins."""

from collections.abc import Callable

import pytest

from tests.web.conftest import Api


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_an_admin_reads_what_is_wrong_and_others_do_not(api_of: Callable[..., Api]) -> None:
    answer = api_of("admin").get("/doctor")
    refused = api_of("editor").get("/doctor")

    assert answer.status_code == 200
    found = {item["check"]: item for item in answer.json["findings"]}
    assert found["scheduler"]["level"] == answer.json["level"] == "error"
    assert found["redis"]["docs"] == "docs/doctor.md#redis"
    assert "migrations" in answer.json["passed"]
    assert {"check": "redis_password", "reason": "no Redis is configured"} in answer.json["skipped"]
    assert refused.status_code == 403
