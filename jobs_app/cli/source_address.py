"""The address of another scheduler's data, which may hold a password."""

import sys

import click


def read_address(address: str) -> str:
    """Return *address*, or the first line of standard input for -.

    So a password is in no list of processes. Raises UsageError if there is none.
    """
    if address != "-":
        return address
    line = sys.stdin.readline().strip()
    if not line:
        raise click.UsageError("Standard input has no address in its first line.")
    return line
