"""`python -m bench [NAME ...] [--quick]` runs the named benchmarks, or all of them."""

import argparse
from collections.abc import Callable

from bench import (
    burst,
    edit,
    footprint,
    history,
    latency,
    log,
    next_fire,
    pages,
    schedules,
    steady,
    throughput,
)

BENCHMARKS: dict[str, Callable[..., None]] = {
    "burst": burst.run,
    "steady": steady.run,
    "schedules": schedules.run,
    "edit": edit.run,
    "next-fire": next_fire.run,
    "throughput": throughput.run,
    "latency": latency.run,
    "log": log.run,
    "history": history.run,
    "pages": pages.run,
    "footprint": footprint.run,
}


def main() -> None:
    """Run the benchmarks named on the command line."""
    parser = argparse.ArgumentParser(prog="./run bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=" ".join(BENCHMARKS))
    parser.add_argument("--quick", action="store_true", help="smaller, one round")
    options = parser.parse_args()
    unknown = set(options.names) - set(BENCHMARKS)
    if unknown:
        parser.error(f"there is no benchmark {', '.join(sorted(unknown))}")
    for name in options.names or list(BENCHMARKS):
        print(f"\n# {name}\n", flush=True)
        BENCHMARKS[name](quick=options.quick)


if __name__ == "__main__":
    main()
