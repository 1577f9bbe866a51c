"""What browser a session belongs to, in a few words."""

import re
from collections.abc import Collection

#: In this order: most browsers name others, too.
_BROWSERS = (
    *(("Edg", "Edge"), ("OPR", "Opera"), ("Firefox", "Firefox"), ("Chrom", "Chrome")),
    *(("Safari", "Safari"), ("curl", "curl")),
)
_SYSTEMS = (
    *(("Android", "Android"), ("iPhone", "iPhone"), ("iPad", "iPad"), ("Windows", "Windows")),
    *(("Mac OS", "macOS"), ("CrOS", "ChromeOS"), ("Linux", "Linux")),
)


def browser_name(user_agent: str) -> str:
    """Return what browser it is, and on what: `Firefox on Linux`."""
    name = _first(_BROWSERS, user_agent) or re.split(r"[/ ]", user_agent)[0][:30]
    system = _first(_SYSTEMS, user_agent)
    return f"{name or 'a browser'} on {system}" if system else name or "a browser"


def _first(pairs: Collection[tuple[str, str]], text: str) -> str:
    return next((name for part, name in pairs if part in text), "")
