"""`jobs-app up --open` shows the first page."""

import stat
import sys
from pathlib import Path

import pytest

from jobs_app.core.settings import Settings
from jobs_app.up.browser import open_browser

LINK = "http://127.0.0.1:5000/links/KEY"


@pytest.fixture
def opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file in which a browser writes what it is asked to open."""
    browser, opened = tmp_path / "browser", tmp_path / "opened"
    browser.write_text(f'#!/bin/sh\nprintf %s "$1" > {opened}\n')
    browser.chmod(0o700)
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setattr("webbrowser._tryorder", None)
    monkeypatch.setattr("webbrowser._browsers", {})
    monkeypatch.setenv("BROWSER", str(browser))
    return opened


def test_a_link_is_in_a_file_of_its_owner_and_in_no_argument(tmp_path: Path, opened: Path) -> None:
    open_browser(Settings(data_dir=tmp_path), LINK)

    file = tmp_path / "first-link.html"
    assert opened.read_text() == file.as_uri()
    assert LINK in file.read_text()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_without_a_link_the_first_page_is_opened(tmp_path: Path, opened: Path) -> None:
    open_browser(Settings(data_dir=tmp_path, public_url="https://example.org/jobs/"), None)

    assert opened.read_text() == "https://example.org/jobs"


@pytest.mark.skipif(sys.platform != "linux", reason="other systems always have a desktop")
def test_without_a_desktop_nothing_is_opened(
    tmp_path: Path, opened: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    open_browser(Settings(data_dir=tmp_path), LINK)

    assert not opened.exists()
    assert "no desktop" in "".join(capfd.readouterr())
