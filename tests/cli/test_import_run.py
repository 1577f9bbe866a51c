"""Options that no import takes are refused before anything is read."""

from typing import Any

import click
import pytest

from jobs_app.cli.import_run import check_options


@pytest.mark.parametrize(
    "options, words",
    [
        ({"prefix": "Shop-"}, "--prefix is at most 30"),
        ({"zone": "Europe/Pari"}, "Did you mean Europe/Paris"),
        ({"label": "x" * 151}, "at most 150 characters"),
        ({"label": "x", "sources": 2}, "for one source"),
    ],
)
def test_an_option_that_cannot_be_used_is_refused(options, words):
    good: dict[str, Any] = {"prefix": "shop-", "zone": "UTC", "label": "shop"}
    check_options(**good)

    with pytest.raises(click.UsageError, match=words):
        check_options(**(good | options))
