"""Restores the state of a process after each run, and names what cannot be restored."""
