"""`jobs-app up`: everything on one machine, under one supervisor."""
