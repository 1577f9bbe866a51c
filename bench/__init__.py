"""Benchmarks of scheduler, worker and database, beside RedBeat, django-celery-beat and Celery."""
