"""The paths of single items in the API."""

from functools import partial
from urllib.parse import quote

from jobs_app.cli.failure import not_utf8


def _item_path(collection: str, name: str) -> str:
    """Return the path of one item; any text that a person types stays one segment of it."""
    try:
        segment = quote(name, safe="")
    except UnicodeEncodeError as error:
        raise not_utf8(error) from error
    # quote() leaves "." and ".." as they are: they would lead out of the collection.
    return f"/{collection}/{segment.replace('.', '%2E') if name in {'.', '..'} else segment}"


job_path = partial(_item_path, "jobs")
run_path = partial(_item_path, "runs")
secret_path = partial(_item_path, "secrets")
channel_path = partial(_item_path, "channels")
