"""The text of a task's error, cleaned and shortened so that it can be stored."""

#: At most this much of an error's message is kept, characters: its beginning and its end.
MESSAGE_CHARS = 8_192


def plain(text: str | None) -> str:
    """Return *text* without NUL and lone surrogates, which databases refuse."""
    clean = (text or "").replace("\x00", "\ufffd")
    return clean.encode("utf-8", "replace").decode("utf-8")


def message_of(error: object) -> str:
    """Return the text of *error* in a form that every database stores; never raises."""
    try:
        text = str(error)
    except Exception as failure:  # noqa: BLE001  # its class is user code
        return f"(The text of the error cannot be read: str() raised {type(failure).__name__}.)"
    return plain(text)


def shortened(text: str) -> str:
    """Return *text*; leave out its middle if it is very long."""
    cut = len(text) - MESSAGE_CHARS
    if cut <= 0:
        return text
    half = MESSAGE_CHARS // 2
    return f"{text[:half]} … {cut:,} characters left out … {text[-half:]}"
