"""Lines of crontabs as people and packages write them, with what becomes of them here."""

import json
from pathlib import Path

_TABLES = json.loads(Path(__file__).with_suffix(".json").read_text())

#: Lines of people: the line, its schedule here (None: refused), and its command, with the input
#: after ` <<< `, or words of the refusal.
PERSONAL: list[tuple[str, str | None, str]] = [tuple(row) for row in _TABLES["personal"]]

#: Lines of /etc/crontab and /etc/cron.d: the line, the schedule, the account, the command.
SYSTEM: list[tuple[str, str | None, str | None, str]] = [tuple(row) for row in _TABLES["system"]]

#: Lines of the environment: the line, the name and the value; None is no variable.
VARIABLES: list[tuple[str, str | None, str | None]] = [tuple(row) for row in _TABLES["variables"]]
