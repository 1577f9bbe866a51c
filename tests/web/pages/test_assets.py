"""The files of the pages."""

from jobs_app.web.pages.assets import FOLDER
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


def test_script_and_style_stay_small() -> None:
    scripts = [path for path in FOLDER.glob("*.js") if path.name != "docs.js"]

    assert sum(len(path.read_text().splitlines()) for path in scripts) <= 600
    assert len((FOLDER / "app.css").read_bytes()) <= 32_000
