"""httpx is imported without what only its own command line needs."""

import subprocess
import sys

PROGRAM = """
import sys
from jobs_app.core.httpx_library import httpx
print(*sorted({"rich", "pygments", "click"} & sys.modules.keys()), httpx.Client.__name__)
import httpx._main
print(httpx._main.main.name)
"""


def test_its_command_line_is_left_out_until_somebody_wants_it() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True, timeout=60
    )

    assert done.stdout.split() == ["Client", "main"]
