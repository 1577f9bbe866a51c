"""The lines that `jobs-app up` prints on standard output once it is ready.

With JOBS_LOG_FORMAT=json they are lines of the log instead.
"""

import contextlib
import shlex
import shutil
import sys
from pathlib import Path

from jobs_app import __version__
from jobs_app.core.settings import Settings
from jobs_app.core.web_address import local_address
from jobs_app.up.programs import announce, announces_json


def print_banner(settings: Settings, *, link: str | None = None) -> None:
    """Print the addresses, and how to sign in; *link* makes the first admin."""
    header = shlex.quote(f"@{settings.admin_token_header_file}")
    _print(f"""
jobs-app {__version__} is running; Ctrl-C stops it.

  pages    {local_address(settings)}
  API      {local_address(settings)}/api/docs
  data     {settings.data_dir}
  token    {settings.admin_token_file}
  zone     {settings.timezone}, for schedules that name none (JOBS_TIMEZONE)

The API wants the token; the command line finds it by itself:

  {_command_line(settings)} job list
  curl -H {header} {local_address(settings)}/api/v1/jobs
""")
    if link is not None:
        print_link(link)


def print_link(link: str) -> None:
    """Print the link that makes the first admin."""
    _print(f"""Nobody can sign in to the pages yet. Within an hour, this makes the first admin:

  {link}
""")


def print_demo(settings: Settings, *, is_open: bool) -> None:
    """Print how to use the two demo routes, or why they are closed."""
    address = local_address(settings)
    if is_open:
        _print(f"""Two routes, and no others, are open without a token, on this machine only:

  curl -H 'Content-Type: application/json' -d '{{"duration": 10}}' {address}/start-task
  curl {address}/task-status/TASK_ID
""")
    else:
        _print(f"Every route wants a token, because {settings.host} is not loopback.\n")


def _command_line(settings: Settings) -> str:
    """Return how a person in another terminal calls `jobs-app` for this server."""
    defaults = {
        name: field.get_default(call_default_factory=True, validated_data={})
        for name, field in Settings.model_fields.items()
    }
    words = [
        f"JOBS_{name.upper()}={shlex.quote(str(getattr(settings, name)))}"
        for name in ("data_dir", "port")
        if getattr(settings, name) != defaults[name]
    ]
    script = Path(sys.executable).with_name("jobs-app")
    if shutil.which("jobs-app"):
        words.append("jobs-app")
    elif script.exists():
        words.append(shlex.quote(str(script)))
    else:
        words += [shlex.quote(sys.executable), "-P", "-m", "jobs_app"]
    return " ".join(words)


def _print(text: str) -> None:
    if announces_json():
        announce(" ".join(text.split()))
        return
    # `jobs-app up | head` must not stop the server.
    with contextlib.suppress(OSError):
        print(text, flush=True)
