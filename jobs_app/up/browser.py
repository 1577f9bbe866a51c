"""Shows the first page in the browser of the person who started `jobs-app up`."""

import html
import os
import sys
import webbrowser
from pathlib import Path

from jobs_app.core.settings import Settings
from jobs_app.core.web_address import public_address
from jobs_app.up.programs import announce
from jobs_app.up.valkey import write_private

#: Variables of a desktop. Without one, the browser would be one of text, in this terminal.
DESKTOP = ("DISPLAY", "WAYLAND_DISPLAY")


def open_browser(settings: Settings, link: str | None) -> None:
    """Open *link*, or the first page without one; say so if this machine shows no pages."""
    if sys.platform == "linux" and not any(os.environ.get(name) for name in DESKTOP):
        announce("there is no desktop to open a browser on")
        return
    address = public_address(settings) if link is None else _file_with(settings.data_dir, link)
    if not webbrowser.open(address):
        announce("no browser could be opened")


def _file_with(directory: Path, link: str) -> str:
    """Return the address of a file that leads to *link*: all users see arguments in `ps`."""
    path = directory.absolute() / "first-link.html"
    refresh = f"0; url={html.escape(link)}"
    write_private(path, f'<!doctype html><meta http-equiv="refresh" content="{refresh}">\n')
    return path.as_uri()
