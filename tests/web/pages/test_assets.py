"""The files of the pages."""

from tests.web.conftest import Api
from tests.web.pages.conftest import Page


def test_files_are_kept_by_browsers_and_compressed(api: Api, page: Page) -> None:
    address = page("/jobs").text.partition('rel="stylesheet" href="')[2].partition('"')[0]
    answer = api.get(f"/{address}", headers={"Accept-Encoding": "br"})
    other = api.get("//assets/000000000000/app.css")

    assert "immutable" in answer.headers["Cache-Control"]
    assert answer.headers["Content-Encoding"] == "br"
    assert "immutable" not in other.headers["Cache-Control"]


def test_no_file_outside_the_folder_is_sent(api: Api, page: Page) -> None:
    assert api.get("//assets/0/../frame.py").status_code == 404
    assert api.get("//assets/0/%2e%2e/frame.py").status_code == 404
