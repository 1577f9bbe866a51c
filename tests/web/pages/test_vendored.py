"""The vendored files: all of them listed, none of them changed."""

import hashlib
import json
from pathlib import Path

import pytest

import jobs_app.web.pages

SERVED = Path(jobs_app.web.pages.__file__).parent / "static" / "vendor"
OF_TESTS = Path(__file__).parent / "browser" / "vendor"
OF_THE_SITE = Path(__file__).parents[3] / "docs" / "site" / "vendor"


@pytest.mark.parametrize(
    "folder", [SERVED, OF_TESTS, OF_THE_SITE], ids=["served", "of tests", "of the site"]
)
def test_the_vendored_files_are_those_of_the_manifest(folder: Path) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())

    listed = {name: digest for package in manifest for name, digest in package["files"].items()}
    found = {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file() and path.name != "manifest.json"
    }
    assert found == listed
    for package in manifest:
        assert package["name"]
        assert package["version"]
        assert package["licence"]
