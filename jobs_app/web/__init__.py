"""Pages and their files; for now the one that shows the API."""

from jobs_app.web.pages import blueprint

__all__ = ["blueprint"]
