"""The site of the documentation: its pages, its references, and that it needs no other host."""

import importlib
import os
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest
from playwright.sync_api import expect, sync_playwright

from docs.site import __main__ as site
from docs.site import reference
from tests.documents.pages import PAGES, ROOT

MKDOCS = ROOT / ".venv-docs" / "bin" / "python"
ERRORS = ROOT / "docs" / "api.md"


def test_the_navigation_has_each_page_once() -> None:
    pages = [page for section in site.navigation() for names in section.values() for page in names]

    assert len(pages) == len(set(pages))
    assert set(PAGES) - {"README.md"} <= set(pages)


def test_the_site_gets_what_its_pages_lead_to_and_no_more() -> None:
    names = set(site.linked_files("README.md"))

    assert {"docs/screenshots/jobs-wide-light.png", "deploy/grafana/jobs-app.json"} <= names
    assert not [name for name in names if "secrets/" in name or not (ROOT / name).is_file()]


def test_the_api_page_has_each_error_code_and_no_other() -> None:
    # No route raises its errors, whether it is imported or not.
    importlib.import_module("jobs_app.jobs.backup")
    section = ERRORS.read_text().partition("\n## Errors\n")[2].partition("\n## ")[0]

    documented = {
        int(status): set(re.findall(r"`([a-z_]+)`", codes))
        for status, codes in re.findall(r"^\| (\d{3}) \| (.*) \|$", section, flags=re.MULTILINE)
    }

    assert documented == {
        status: set(codes) for status, codes in reference.codes_by_status().items()
    }


class Resources(HTMLParser):
    """The addresses that a browser asks for by itself when it shows a page."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = dict(attrs)
        is_link = tag == "link" and names.get("rel") not in ("canonical", "next", "prev")
        address = names.get("href") if is_link else names.get("src")
        if address and (is_link or tag in ("script", "img", "iframe", "source")):
            self.addresses.append(address)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built as `./run docs` builds it."""
    if not MKDOCS.exists():
        pytest.skip("./run docs has not installed mkdocs in .venv-docs yet")
    folder = tmp_path_factory.mktemp("site")
    site.write(folder)
    options = f"--strict --config-file {folder}/mkdocs.yml --site-dir {folder}/site"
    command = [str(MKDOCS), "-m", "mkdocs", "build", *options.split()]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder / "site"


@pytest.mark.nightly
def test_no_page_asks_another_host_for_anything(built: Path) -> None:
    found = set()
    for path in built.rglob("*.html"):
        page = Resources()
        page.feed(path.read_text())
        found |= {address for address in page.addresses if "//" in address}
    styles = "".join(path.read_text() for path in built.rglob("*.css"))

    assert not found
    assert not re.findall(r"url\([\"']?https?:|@import", styles)


@pytest.mark.nightly
def test_the_references_have_what_the_code_has(built: Path) -> None:
    pages = {name: (built / "reference" / name).with_suffix(".html") for name in reference.PAGES}
    texts = {name: path.read_text() for name, path in pages.items()}

    assert 'id="jobs-app-job-create"' in texts["commands.md"]
    assert "/api/v1/jobs/{name}/explain" in texts["routes.md"]
    assert "idempotency_mismatch" in texts["errors.md"]
    assert "jobs_app_fires_recorded_total" in texts["metrics.md"]


@pytest.mark.nightly
def test_the_search_works_from_a_directory(built: Path) -> None:
    requested: list[str] = []
    program = shutil.which(os.environ.get("JOBS_TEST_CHROMIUM", "chromium"))
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        page = browser.new_page()
        page.on("request", lambda request: requested.append(request.url))
        page.goto(f"file://{built}/index.html")
        page.locator(".md-search__input").fill("daylight saving")

        first = page.locator(".md-search-result__link").first
        expect(first).to_contain_text("daylight saving", ignore_case=True, timeout=30_000)
        browser.close()

    assert not [
        address for address in requested if not address.startswith(("file:", "data:", "blob:"))
    ]
