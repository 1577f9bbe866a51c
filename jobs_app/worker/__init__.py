"""The worker: claims runs, works on them, and writes how they ended."""
