"""The check of `up --reload` says whether the user's modules can be imported."""

from pathlib import Path

import pytest

from jobs_app.up import import_check


@pytest.mark.parametrize("code, exit_code", [("x = 1", 0), ("import sys; sys.exit(3)", 1)])
def test_the_exit_code_says_whether_a_module_is_broken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, exit_code: int
) -> None:
    name = f"checked_{exit_code}"
    (tmp_path / f"{name}.py").write_text(code)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("JOBS_IMPORTS", name)
    monkeypatch.setenv("JOBS_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("JOBS_REDIS_URL", "redis://127.0.0.1:1/0")

    assert import_check.main() == exit_code
