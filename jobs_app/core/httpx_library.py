"""httpx without its own command line.

`import httpx` also imports rich and pygments for a command `httpx`, if they are installed: that
takes a third of its time, and 5 MB. Without them httpx has a stand-in for that command.
"""

import sys

_COMMAND_LINE = "httpx._main"

if _COMMAND_LINE not in sys.modules:
    # The import system raises ImportError for a module that is None.
    sys.modules[_COMMAND_LINE] = None  # type: ignore[assignment]
    import httpx

    del sys.modules[_COMMAND_LINE]
else:
    import httpx

__all__ = ["httpx"]
