"""Passwords and tokens in addresses: found in any text, also within a command."""

import re
from collections.abc import Callable
from urllib.parse import unquote

from jobs_app.secrets.references import names_in

# Lengths are limited, and no part may hold the character that ends it: so the time is linear.
_USER = re.compile(
    r"([A-Za-z][A-Za-z0-9+.-]{0,30}://)(?:([^\s/?#@:]{0,200}:)([^\s/?#@]{1,2000})|([^\s/?#@:]{20,2000}))@"
)
_PARAMETER = re.compile(r"([?&;]([^\s?&;#=]{1,80})=)([^\s&;#'\"]+)")


def with_secrets_of_addresses(
    text: str, change: Callable[[str], str], *, looks_secret: Callable[[str], bool]
) -> str:
    """Return *text* with each password and token in its addresses as *change* returns it.

    These are the password of a user, a long user name without a password, and parameters whose
    name *looks_secret*. References to secrets stay.
    """
    if "://" not in text:
        return text

    def user(match: re.Match[str]) -> str:
        scheme, name, password, token = match.groups()
        secret = password or token
        return match[0] if names_in(secret) else f"{scheme}{name or ''}{change(secret)}@"

    def parameter(match: re.Match[str]) -> str:
        is_shown = not looks_secret(unquote(match[2])) or names_in(match[3])
        return match[0] if is_shown else f"{match[1]}{change(match[3])}"

    return _PARAMETER.sub(parameter, _USER.sub(user, text))
