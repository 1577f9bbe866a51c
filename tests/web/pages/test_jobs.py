"""The list of jobs."""

from tests.web.conftest import Api
from tests.web.pages.conftest import Page


def test_the_list_names_the_jobs(api: Api, page: Page) -> None:
    api.make_job("nightly")

    assert "nightly" in page("/jobs").text
