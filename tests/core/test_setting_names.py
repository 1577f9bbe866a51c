"""Names of variables that are close to a setting."""

from jobs_app.core.setting_names import mistyped_variables


def test_only_a_name_that_is_close_to_a_setting_is_a_mistake() -> None:
    environment = {
        "JOBS_IMPORT": "a",
        "JOBS_IMPORTS": "a",
        "JOBS_TOKEN": "a",
        "JOBS_OF_THE_DAY": "a",
        "XJOBS_IMPORT": "a",
    }

    assert list(mistyped_variables(environment)) == [("JOBS_IMPORT", "JOBS_IMPORTS")]
