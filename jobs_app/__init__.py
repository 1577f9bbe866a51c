"""Scheduled jobs you can edit at run time and trust afterwards."""

__version__ = "0.1.0"
