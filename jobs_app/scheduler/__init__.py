"""The scheduler process: RedBeat over the rows, the janitor, and the pruner."""
