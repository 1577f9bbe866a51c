"""Remote control: which commands a worker runs, and what it takes out of the answers."""

from collections.abc import Iterator
from typing import Any

import pytest
from celery.worker.control import Panel, control_command, inspect_command

from jobs_app.core.settings import Settings
from jobs_app.worker.celery_hooks.remote_control import REFUSED, restrict

KEY = "k" * 43 + "="


@pytest.fixture(autouse=True)
def panel() -> Iterator[None]:
    """Celery's commands, and two of a user; as they were afterwards."""
    commands, descriptions = dict(Panel.data), dict(Panel.meta)

    @inspect_command(name="show_all", alias="show")
    def show_all(_state: Any, **_: Any) -> Any:
        urls = ["redis://u:pass%2Fword@h/0", "redis+socket://:x@/run/x"]
        return {"urls": urls, "nested": ({"pass/word": "a pass%2Fword", "n": 7},), "key": KEY}

    @control_command(name="do_it")
    def do_it(_state: Any, **_: Any) -> str:
        return "done"

    yield
    Panel.data.clear()
    Panel.data.update(commands)
    Panel.meta.clear()
    Panel.meta.update(descriptions)


def settings(**values: Any) -> Settings:
    return Settings(redis_url="redis://u:pass%2Fword@h/0", secret_key=KEY, **values)


@pytest.mark.parametrize("name", ["show_all", "show"])
@pytest.mark.parametrize("mode", ["inspect", "all"])
def test_an_answer_has_no_password_and_no_key(name: str, mode: str) -> None:
    restrict(settings(remote_control=mode))

    assert Panel.data[name](None) == {
        "urls": ["redis://***@h/0", "redis+socket://***@/run/x"],
        "nested": [{"***": "a ***", "n": 7}],
        "key": "***",
    }


def test_only_with_all_orders_are_obeyed() -> None:
    obeyed = Panel.data["do_it"]
    restrict(settings())
    refused = Panel.data["do_it"](None)
    Panel.data["do_it"] = obeyed
    restrict(settings(remote_control="all"))

    assert refused == REFUSED
    assert Panel.data["do_it"](None) == "done"


def test_every_command_of_celery_that_changes_something_is_refused() -> None:
    restrict(settings())

    refused = {name for name, handler in Panel.data.items() if "refuse" in handler.__qualname__}

    # fmt: off
    assert refused >= {
        "revoke", "terminate", "rate_limit", "time_limit", "pool_grow", "pool_shrink",
        "pool_restart", "autoscale", "shutdown", "add_consumer", "cancel_consumer", "election",
        "enable_events", "disable_events", "heartbeat", "hello", "objgraph",
        "revoke_by_stamped_headers",
    }
    # fmt: on
    assert not refused & {"ping", "stats", "active", "conf", "report", "registered", "dump_active"}
