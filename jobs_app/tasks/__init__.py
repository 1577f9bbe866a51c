"""The kinds of work that are built in: one file each, every one a Celery task."""
