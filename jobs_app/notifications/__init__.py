"""Who is told of what happens to runs: recorded as rows, put into words, sent by a process."""
