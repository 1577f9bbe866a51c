"""The vendored files: all of them listed, none of them changed."""

import hashlib
import json
from pathlib import Path

import jobs_app.web.pages

VENDOR = Path(jobs_app.web.pages.__file__).parent / "static" / "vendor"


def test_the_vendored_files_are_those_of_the_manifest() -> None:
    manifest = json.loads((VENDOR / "manifest.json").read_text())

    listed = {name: digest for package in manifest for name, digest in package["files"].items()}
    found = {
        str(path.relative_to(VENDOR)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in VENDOR.rglob("*")
        if path.is_file() and path.name != "manifest.json"
    }
    assert found == listed
    for package in manifest:
        assert package["name"]
        assert package["version"]
        assert package["licence"]
