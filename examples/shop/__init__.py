"""A small Flask shop with Celery, made as Flask's documentation has it."""

import os

from celery import Celery, Task
from flask import Flask


def create_app() -> Flask:
    """Return the shop, with Celery as its extension."""
    app = Flask("shop")
    app.config["CURRENCY"] = "EUR"
    app.config["CELERY"] = {
        "broker_url": os.environ.get("SHOP_BROKER", "redis://127.0.0.1:6379/0"),
        "result_backend": os.environ.get("SHOP_RESULTS", "redis://127.0.0.1:6379/1"),
        "broker_connection_retry_on_startup": True,
    }
    celery_init_app(app)

    @app.post("/orders/<int:number>/receipt")
    def send_receipt(number: int) -> dict[str, str]:
        from shop.tasks import receipt  # noqa: PLC0415  # tasks belong to the application above

        return {"task": receipt.delay(number).id}

    return app


def celery_init_app(app: Flask) -> Celery:
    """Return the Celery of *app*, whose tasks run within the context of *app*."""

    class FlaskTask(Task):
        def __call__(self, *args: object, **kwargs: object) -> object:
            with app.app_context():
                return self.run(*args, **kwargs)

    celery_app = Celery(app.name, task_cls=FlaskTask, include=["shop.tasks"])
    celery_app.config_from_object(app.config["CELERY"])
    celery_app.set_default()
    app.extensions["celery"] = celery_app
    return celery_app
