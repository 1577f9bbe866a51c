"""`jobs-app up --reload`: starts the processes anew when the code of the user's tasks changes.

The changed code is imported in a process of its own first. If that fails, the error is shown,
and the processes go on with the old code.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

from jobs_app.core.text import counted
from jobs_app.up.programs import Program, announce
from jobs_app.up.source_files import SourceFiles
from jobs_app.up.supervisor import Supervisor

#: Time between two looks at the files, seconds. Files that change between two looks may still
#: be written: they are imported when they rest.
LOOK_SECONDS = 0.5

#: An announcement names this many files.
MAX_NAMED = 3


class Reloader:
    """Replaces processes after a change of *files* that can be imported.

    *make_check* returns a program that imports the code, and ends with 0 if that succeeds. The
    programs *beside* run twice for a moment: the old one ends what it does. The programs
    *after* are stopped before they are started, because they share an address.
    """

    def __init__(
        self,
        files: SourceFiles,
        supervisor: Supervisor,
        make_check: Callable[[], Program],
        *,
        beside: Sequence[str],
        after: Sequence[str],
    ) -> None:
        self._files = files
        self._supervisor = supervisor
        self._make_check = make_check
        self._beside = beside
        self._after = after
        self._changed: set[Path] = set()
        self._check: Program | None = None

    def look(self) -> None:
        """Look at the files, and do the next step after a change; call it each LOOK_SECONDS."""
        changes = self._files.changes()
        self._changed.update(changes)
        if changes:
            # A check of the code before is of no use.
            self.close()
        elif self._check is not None:
            self._conclude(self._check)
        elif self._changed:
            announce(f"reload: {_named(sorted(self._changed))} changed")
            self._changed.clear()
            self._check = self._make_check()
            self._check.start()

    def close(self) -> None:
        """End a check that runs."""
        if self._check is not None:
            self._check.kill()
            self._check = None

    def _conclude(self, check: Program) -> None:
        code = check.exit_code()
        if code is None:
            return
        self.close()
        if code != 0:
            announce("reload: the new code cannot be imported, so the old code stays")
            return
        announce("reload: starting anew; runs under way end with the old code")
        for name in self._beside:
            self._supervisor.replace(name)
        for name in self._after:
            self._supervisor.restart(name)


def _named(paths: Sequence[Path]) -> str:
    names = ", ".join(_short(path) for path in paths[:MAX_NAMED])
    more = len(paths) - MAX_NAMED
    return f"{names} and {counted(more, 'other file')}" if more > 0 else names


def _short(path: Path) -> str:
    directory = Path.cwd()
    return str(path.relative_to(directory) if path.is_relative_to(directory) else path)
