"""The worker: it claims runs, works them, and records how they ended."""
