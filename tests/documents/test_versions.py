"""The versions that a page names are those of the package."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_page_on_one_environment_names_each_dependency_with_an_upper_bound() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    needed = [re.sub(r"\[.*\]", "", text) for text in project["dependencies"]]
    bounded = {text for text in needed if "<" in text}
    text = (ROOT / "docs" / "own-tasks.md").read_text()
    paragraph = next(part for part in text.split("\n\n") if part.startswith("**One Python"))

    named = set(re.findall(r"`([a-z-]+>=[0-9.]+,<[0-9.]+)`", paragraph))

    assert named == bounded
    python = project["requires-python"].removeprefix(">=")
    floors = {text.partition(">=")[0]: text.partition(">=")[2] for text in needed}
    assert f"Python {python}," in paragraph
    assert f"SQLAlchemy {floors['sqlalchemy']} and Flask {floors['flask']}," in paragraph
