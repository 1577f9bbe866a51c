"""The tasks that Celery makes in each application, whichever one declares them."""

import sys
from collections.abc import Collection
from typing import Any

from celery import Celery, _state

#: The module of JOBS_IMPORTS that a module of the user was first imported for.
_importers: dict[str, str] = {}


def note_imports(module: str, before: Collection[str]) -> None:
    """Note the modules beyond those *before* as imported for *module*, one of JOBS_IMPORTS."""
    for name in sys.modules.keys() - before:
        _importers.setdefault(name, module)


def is_imported_by(module: str, name: str) -> bool:
    """Return whether the module *name* was first imported for *module*."""
    return _importers.get(name) == module


def forget_broken() -> None:
    """Make Celery forget the tasks that no application can have.

    When an application is finalized, it makes the tasks of all others, too. One that fails would
    break each application after its own.
    """
    # The loader by name: else CELERY_LOADER names another.
    scratch = Celery(set_as_current=False, loader="celery.loaders.app:AppLoader", fixups=[])
    # The stubs leave it out.
    state: Any = _state
    for make_task in list(state._on_app_finalizers):
        try:
            make_task(scratch)
        except BaseException:  # noqa: BLE001  # user code, as in `user_apps.load`
            state._on_app_finalizers.discard(make_task)
    scratch.close()
