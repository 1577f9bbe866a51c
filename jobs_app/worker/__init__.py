"""The worker: claims runs, runs their tasks, and writes their outcomes."""
