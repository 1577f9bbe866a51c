"""A module as people have it: loggers with handlers of their own, made when it is imported."""

import logging
import os
import subprocess
import sys
from logging.config import dictConfig

from celery import shared_task

#: The stream as libraries keep it that ask for it once.
early_stdout = sys.stdout

#: Files that handlers keep: each has a descriptor of its own.
early_files = [
    open("/dev/stderr", "a"),  # noqa: SIM115  # open as long as the module
    os.fdopen(os.dup(1), "w"),
]

dictConfig(
    {
        "version": 1,
        "disable_existing_loggers": True,
        "formatters": {"short": {"format": "SHORT %(message)s"}},
        "handlers": {
            "console": {"class": "logging.StreamHandler", "formatter": "short"},
            "out": {"class": "logging.StreamHandler", "stream": "ext://sys.stdout"},
        },
        "root": {"handlers": ["console"], "level": "INFO"},
        "loggers": {"ledger": {"handlers": ["out"], "level": "INFO", "propagate": False}},
    }
)
ledger = logging.getLogger("ledger")


@shared_task
def logs(mark: str) -> None:
    """Log in each of these ways, once."""
    ledger.info("%s ledger", mark)
    logging.getLogger("plain").info("%s plain", mark)
    print(f"{mark} early", file=early_stdout, flush=True)


@shared_task
def gives_its_streams_away(mark: str) -> str:
    """Give both streams to programs, and the number of one to the kernel."""
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # typeshed: TextIO
    print(f"{mark} 1")
    subprocess.run(["/bin/sh", "-c", f"echo '{mark} 2'"], stdout=sys.stdout, check=True)
    command = ["/bin/sh", "-c", f"echo '{mark} 3' >&2"]
    subprocess.run(command, stderr=sys.stderr, check=True)
    sys.stdout.buffer.writelines([f"{mark} 4\n".encode()])
    for number, file in enumerate(early_files, 5):
        print(f"{mark} {number}", file=file)
    sys.stdout.close()
    return str(sys.stdout.fileno())
