"""The files of the pages."""

import re
from collections.abc import Callable

import pytest

from jobs_app.web.pages.assets import BUNDLES, FOLDER
from tests.web.conftest import NOW, Api, a_run
from tests.web.pages.conftest import Page


def test_files_are_kept_by_browsers_and_compressed(api: Api, page: Page) -> None:
    address = page("/jobs").text.partition('rel="stylesheet" href="')[2].partition('"')[0]
    answer = api.get(f"/{address}", headers={"Accept-Encoding": "br"})
    other = api.get("//assets/000000000000/app.css")

    assert "immutable" in answer.headers["Cache-Control"]
    assert answer.headers["Content-Encoding"] == "br"
    assert "immutable" not in other.headers["Cache-Control"]


@pytest.mark.parametrize("name", BUNDLES)
def test_a_bundle_has_each_of_its_scripts_whole_and_in_order(api: Api, name: str) -> None:
    answer = api.get(f"//assets/0/{name}")
    places = [answer.text.index((FOLDER / part).read_text()) for part in BUNDLES[name]]

    assert answer.content_type == "text/javascript; charset=utf-8"
    assert places == sorted(places)
    known = {"If-None-Match": answer.headers["ETag"]}
    assert api.get(f"//assets/0/{name}", headers=known).status_code == 304


def test_scripts_of_ours_are_strict_behind_others_too() -> None:
    """The directive of a file counts only if nothing stands before it: ours is in a function."""
    start = re.compile(r'(?://.*\n)+(?:const \w+ = )?\(\(\) => \{\n  "use strict";\n')

    scripts = [path for path in FOLDER.glob("*.js") if path.name != "docs.js"]
    assert [path.name for path in scripts if not start.match(path.read_text())] == []


def test_a_first_visit_asks_for_few_files(api: Api, page: Page, store: Callable[..., None]) -> None:
    run = a_run(job_id=api.make_job()["id"], finished_at=NOW)
    store(run)
    for address in ("/", "/jobs", "/jobs/nightly", f"/runs/{run.id}", "/jobs/nightly/edit"):
        text = page(address).text
        files = set(re.findall(r'(?:src|href)="(/assets/[^"]+)"', text))

        # The page itself is the sixth at most.
        assert len(files) <= 5, files
        assert [file for file in files if api.get(f"/{file}").status_code != 200] == []


def test_no_file_outside_the_folder_is_sent(api: Api, page: Page) -> None:
    assert api.get("//assets/0/../frame.py").status_code == 404
    assert api.get("//assets/0/%2e%2e/frame.py").status_code == 404


def test_script_and_style_stay_small() -> None:
    scripts = [path for path in FOLDER.glob("*.js") if path.name != "docs.js"]

    assert sum(len(path.read_text().splitlines()) for path in scripts) <= 600
    assert len((FOLDER / "app.css").read_bytes()) <= 32_000
