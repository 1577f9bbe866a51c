"""The label of an import; the command tries the rest."""

import click
import pytest

from jobs_app.cli.import_prune import origin_label


def test_the_label_of_an_import_is_the_name_of_its_file() -> None:
    assert origin_label("/srv/jobs/night.yaml", None) == "file night.yaml"
    assert origin_label("-", "team") == "team"
    with pytest.raises(click.UsageError):
        origin_label("-", None)
