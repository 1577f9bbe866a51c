"""How notifications leave: taken from their rows, put into words, and sent by a process."""
