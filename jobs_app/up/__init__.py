"""`jobs-app up`: everything on this machine, under one supervisor."""
