"""Where the modules of JOBS_IMPORTS are found: Python's path, and the working directory behind it.

The directory comes last. A file in it that is named like a library (`redis.py`, `secrets.py`)
takes the place of none.
"""

import os
import stat
import sys
from importlib import import_module
from importlib.machinery import PathFinder
from pathlib import Path, PurePath
from types import ModuleType
from typing import Any

from jobs_app.core.errors import ConfigurationError
from jobs_app.core.own_files import others_can_write


def append_working_directory() -> None:
    """Append the working directory to Python's path, unless other users can write it."""
    directory = os.getcwd()
    if directory not in sys.path and not others_can_write(Path(directory)):
        sys.path.append(directory)


def import_from_path(module: str, imp: Any = None, package: str | None = None) -> ModuleType:
    """Import a module, with the working directory last; the form of Celery's `import_from_cwd`."""
    append_working_directory()
    _refuse_writable(module)
    imported: ModuleType = (imp or import_module)(module, package=package)
    return imported


def check_modules(modules: tuple[str, ...]) -> None:
    """Raise ConfigurationError for a module of JOBS_IMPORTS that cannot be found.

    Imports nothing, so a module that fails at import passes.
    """
    for module in modules:
        _check_name(module)
    if not modules:
        return
    append_working_directory()
    directory = os.getcwd()
    for module in modules:
        package = module.partition(".")[0]
        _refuse_writable(module)
        if package in sys.modules or PathFinder.find_spec(package, sys.path) is not None:
            continue
        if PathFinder.find_spec(package, [directory]) is not None:
            raise ConfigurationError(
                f"JOBS_IMPORTS: the module {package!r} is in {directory}, which other users can "
                "write: start jobs-app in a directory that only its user can write."
            )
        raise ConfigurationError(
            f"JOBS_IMPORTS: there is no module {package!r}, neither in {directory} nor where "
            "Python looks; start jobs-app in the directory that has it, or set PYTHONPATH."
        )


def _check_name(module: str) -> None:
    """Raise ConfigurationError for what is no name of a module, as people write it elsewhere."""
    name, _, attribute = module.partition(":")
    if attribute:
        # As for `celery -A`, `flask --app` and gunicorn.
        raise ConfigurationError(
            f"JOBS_IMPORTS: {module!r} is something in a module. Name the module, {name!r}: "
            "jobs-app finds the applications in it."
        )
    path = PurePath(module)
    if path.suffix == ".py" and (len(path.parts) > 1 or Path(module).is_file()):
        path = path.with_suffix("")
    name = ".".join(path.parts)
    if name != module or not all(part.isidentifier() for part in name.split(".")):
        raise ConfigurationError(
            f"JOBS_IMPORTS: {module!r} is no name of a module: write it as in an import"
            + (f", {name!r}." if all(part.isidentifier() for part in name.split(".")) else ".")
        )


def _refuse_writable(module: str) -> None:
    """Raise ConfigurationError if others can write a module that the working directory has."""
    directory = os.getcwd()
    elsewhere = [path for path in sys.path if path not in ("", directory)]
    package = module.partition(".")[0]
    if directory not in sys.path or PathFinder.find_spec(package, elsewhere) is not None:
        return
    path = Path(directory)
    for name in module.split("."):
        path /= name
        for file in (path, path / "__init__.py", path.with_name(f"{name}.py")):
            if file.exists() and others_can_write(file) and not _is_of_root(file):
                raise ConfigurationError(
                    f"JOBS_IMPORTS: other users can write {file}, so the module {module!r} is not "
                    "imported: take that right from them, for example with chmod go-w."
                )


def _is_of_root(file: Path) -> bool:
    """Return whether only root and its group can write *file*, as many files of images are."""
    status = file.stat()
    return status.st_uid == status.st_gid == 0 and not status.st_mode & stat.S_IWOTH
