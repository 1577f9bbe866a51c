"""For `celery -A shop.integrated worker`: this worker also runs jobs, by one line."""

import jobs_app
from shop.celery_app import app

jobs_app.integrate(app, queues="shop", imports="shop.celery_app")
