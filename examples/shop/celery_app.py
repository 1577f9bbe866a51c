"""For `celery -A shop.celery_app worker`, and for JOBS_IMPORTS=shop.celery_app."""

from shop import create_app

flask_app = create_app()
app = flask_app.extensions["celery"]
