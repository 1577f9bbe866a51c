"""Benchmarks of the clock, side by side with its peers."""
