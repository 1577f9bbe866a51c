"""Celery's connection to Redis, with signed messages."""
