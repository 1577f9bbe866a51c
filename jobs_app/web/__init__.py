"""HTTP: the API, the pages, and what both share."""
