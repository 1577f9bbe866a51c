"""Runs: the only package that writes a run's state.

Each move is one conditional UPDATE whose row count is read. No changed row is normal:
the run was cancelled, the message came twice, or the worker was declared gone.
"""
