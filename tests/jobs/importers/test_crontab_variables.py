"""The variables of a crontab are read as cron's own reader does."""

import pytest

from jobs_app.jobs.importers.crontab_variables import read_variable
from tests.jobs.importers.crontab_lines import VARIABLES


@pytest.mark.parametrize("line, name, value", VARIABLES)
def test_a_variable_is_read_with_cron_s_rules_for_blanks_and_quotation_marks(line, name, value):
    assert read_variable(line.lstrip(" \t")) == (None if name is None else (name, value))
