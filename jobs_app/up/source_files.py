"""Finds the Python files of the user's modules that have changed, by their times and sizes."""

import os
import sys
from collections.abc import Iterable, Iterator
from importlib.machinery import PathFinder
from itertools import islice
from pathlib import Path

from jobs_app.core.errors import ConfigurationError
from jobs_app.tasks.module_path import append_working_directory

#: Directories with packages of others. A change in them is an installation, not work on code.
INSTALLED = frozenset({"site-packages", "dist-packages"})

#: Directories that have no code of the user.
SKIPPED = INSTALLED | {"__pycache__", "node_modules"}

#: To look at more directories takes too long to do it twice a second.
MAX_DIRECTORIES = 5_000

#: What tells two states of a file apart: its time of change, nanoseconds, and its size.
State = tuple[int, int]


class SourceFiles:
    """The Python files beside and below the user's modules.

    Raises ConfigurationError if there are too many directories.
    """

    def __init__(self, modules: Iterable[str]) -> None:
        self.roots = list(dict.fromkeys(path for name in modules for path in _roots(name)))
        for root in self.roots:
            if len(list(islice(_directories(root), MAX_DIRECTORIES + 1))) > MAX_DIRECTORIES:
                raise ConfigurationError(
                    f"--reload: {root} has more than {MAX_DIRECTORIES} directories: start jobs-app "
                    "in the directory of your project, or move your modules into one."
                )
        self._states = dict(self._look())

    def changes(self) -> list[Path]:
        """Return the files that were changed, added or removed since the last call, sorted."""
        before, self._states = self._states, dict(self._look())
        paths = before.keys() | self._states.keys()
        return sorted(path for path in paths if before.get(path) != self._states.get(path))

    def _look(self) -> Iterator[tuple[Path, State]]:
        for root in self.roots:
            if root.is_file():
                yield from _state(root)
            for directory in _directories(root):
                for entry in _entries(directory):
                    if entry.name.endswith(".py"):
                        yield from _state(Path(entry.path))


def _roots(module: str) -> Iterator[Path]:
    """Yield what to look at for a module: the directory that its package is in.

    Of an installed package it is the package alone.
    """
    append_working_directory()
    package = module.partition(".")[0]
    spec = PathFinder.find_spec(package, sys.path)
    if spec is None:
        return
    places = spec.submodule_search_locations
    for place in [spec.origin] if places is None else places:
        if place is not None:
            path = Path(place).absolute()
            yield path if path.parent.name in INSTALLED else path.parent


def _directories(root: Path) -> Iterator[str]:
    """Yield *root* and the directories below it that may have code of the user."""
    found = [str(root)] if root.is_dir() else []
    while found:
        directory = found.pop()
        entries = _entries(directory)
        if directory != str(root) and any(entry.name == "pyvenv.cfg" for entry in entries):
            continue
        yield directory
        for entry in entries:
            is_hidden = entry.name.startswith(".") or entry.name in SKIPPED
            if not is_hidden and entry.is_dir(follow_symlinks=False):
                found.append(entry.path)


def _entries(directory: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(directory) as entries:
            return list(entries)
    except OSError:
        # It was removed, or it is not ours to read.
        return []


def _state(path: Path) -> Iterator[tuple[Path, State]]:
    try:
        status = path.stat()
    except OSError:
        return
    yield path, (status.st_mtime_ns, status.st_size)
