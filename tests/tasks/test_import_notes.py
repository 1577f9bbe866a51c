"""A module whose import ends the process is named, and stops no later start."""

import os
from pathlib import Path
from uuid import uuid4

import pytest
from celery import Celery

from jobs_app.celery_app import make_celery
from jobs_app.core.settings import Settings
from jobs_app.tasks import user_apps


@pytest.mark.parametrize(
    "statement, code, end",
    [
        ("os._exit(3)", 3, "with exit code 3"),
        ("os._exit(0)", 0, "with exit code 0"),
        ("os.kill(os.getpid(), 9)", -9, "by SIGKILL"),
    ],
)
def test_a_module_that_ends_the_process_is_broken_from_the_second_start_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, statement: str, code: int, end: str
) -> None:
    module = f"ending_{uuid4().hex}"
    file = tmp_path / f"{module}.py"
    file.write_text(f"import os\n{statement}\n")
    monkeypatch.syspath_prepend(tmp_path)
    app = make_celery(Settings(redis_url="redis://127.0.0.1:1/0"))

    assert exit_code_of_start(app, module, tmp_path) == code
    for _ in range(2):
        (error,) = user_apps.load_modules(app, [module], notes=tmp_path).values()
        assert str(error) == (
            f"The module '{module}' of JOBS_IMPORTS cannot be imported: ProcessEnded: its import"
            f" ends the process, {end}."
        )
    file.write_text("mended = True  # other bytes, another size\n")
    assert user_apps.load_modules(app, [module], notes=tmp_path) == {}
    assert not list(tmp_path.glob("importing-*"))


def exit_code_of_start(app: Celery, module: str, notes: Path) -> int:
    """Return how a process ends that imports *module*, as at the start of a worker."""
    if (child := os.fork()) == 0:
        user_apps.load_modules(app, [module], notes=notes)
        os._exit(77)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.mark.parametrize("text", ["raise SystemExit(3)", "raise ValueError", "import os"])
def test_an_import_that_leaves_the_process_alive_leaves_no_note(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    module = f"alive_{uuid4().hex}"
    (tmp_path / f"{module}.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    app = make_celery(Settings(redis_url="redis://127.0.0.1:1/0"))
    note = tmp_path / f"importing-{module}"
    # As of a process that was killed from outside during the import.
    note.touch()

    broken = user_apps.load_modules(app, [module], notes=tmp_path)

    assert "ProcessEnded" not in "".join(map(str, broken.values()))
    assert not note.exists()


def test_without_a_directory_there_is_no_note(tmp_path: Path) -> None:
    app = make_celery(Settings(redis_url="redis://127.0.0.1:1/0"))

    assert user_apps.load_modules(app, ["json"], notes=tmp_path / "missing") == {}
