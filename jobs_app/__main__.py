"""`python -m jobs_app` is the command `jobs-app`."""

from jobs_app.cli import main

if __name__ == "__main__":
    main()
