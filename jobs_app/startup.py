"""The start of a process, while there is no garbage to look for."""

import gc


def begin() -> None:
    """Let the garbage collector rest: to look through modules as they come takes a fifth longer."""
    gc.disable()


def end() -> None:
    """Let it work again, on what comes from now on; call before a process forks others.

    It no longer touches what was imported, so that forked processes share those pages.
    """
    gc.freeze()
    gc.enable()
