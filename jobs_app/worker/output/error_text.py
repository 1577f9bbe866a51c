"""The text of a task's error, cleaned and shortened so that it can be stored."""

from jobs_app.core.text import counted

#: At most this much of an error's message is kept, characters: its beginning and its end.
MESSAGE_CHARS = 8_192


def shortened(text: str) -> str:
    """Return *text*; leave out its middle if it is very long."""
    cut = len(text) - MESSAGE_CHARS
    if cut <= 0:
        return text
    half = MESSAGE_CHARS // 2
    return f"{text[:half]} … {counted(cut, 'character')} left out … {text[-half:]}"
