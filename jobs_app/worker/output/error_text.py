"""What a task leaves behind as text: an error may say anything, at any length, or nothing."""

#: Most of an error's message that is kept, characters: its beginning and its end.
MESSAGE_CHARS = 8_192


def plain(text: str | None) -> str:
    """Return *text* as every database stores it: no NUL, no lone surrogates."""
    clean = (text or "").replace("\x00", "\ufffd")
    return clean.encode("utf-8", "replace").decode("utf-8")


def message_of(error: object) -> str:
    """Return what *error* says, as every database stores it; never raises."""
    try:
        text = str(error)
    except Exception as failure:  # noqa: BLE001  # its class is a stranger's
        return f"(What it says cannot be read: its text raised {type(failure).__name__}.)"
    return plain(text)


def shortened(text: str) -> str:
    """Return *text*, with the middle left out where it is very long."""
    cut = len(text) - MESSAGE_CHARS
    if cut <= 0:
        return text
    half = MESSAGE_CHARS // 2
    return f"{text[:half]} … {cut:,} characters left out … {text[-half:]}"
