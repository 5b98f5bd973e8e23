"""`python -m gateway` under cProfile; as it ends, it prints the functions that took most of the time.

For `GATEWAY_MODULE=tests.bench.profiled LINES=small ROUNDS=1 make bench-http`; the profile goes to tests/output.
A profiled gateway is about half as fast, and the calls within C libraries are charged to whoever made them.
"""

import cProfile
import os
import pstats
import sys
from pathlib import Path

from gateway.__main__ import main

FOLDER = Path(__file__).parents[1] / "output"
MOST = 60


def run(argv: list[str]) -> int:
    """Run the command, then write its profile."""
    profile = cProfile.Profile()
    try:
        return profile.runcall(main, argv)
    finally:
        FOLDER.mkdir(exist_ok=True)
        path = FOLDER / f"profile-{os.getpid()}"
        profile.dump_stats(path)
        with path.with_suffix(".txt").open("w") as stream:
            pstats.Stats(profile, stream=stream).strip_dirs().sort_stats("tottime").print_stats(MOST)


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
