"""Readers of the schedules of other programs."""
