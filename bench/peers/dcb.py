"""A one-file django-celery-beat project on SQLite, for `celery -A dcb beat`."""

import os

import django
from django.conf import settings
from stock import app

settings.configure(
    INSTALLED_APPS=["django_celery_beat"],
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": os.environ["BENCH_DJANGO_DATABASE"],
        }
    },
    USE_TZ=True,
    SECRET_KEY="nothing is signed here",
    DEFAULT_AUTO_FIELD="django.db.models.AutoField",
)
django.setup()

__all__ = ["app"]
