"""Searches one target for inputs that break it, with atheris: what reaches new code is kept and changed further.

`python -m tests.fuzz.explore TARGET FOLDER SECONDS` is what `make fuzz` starts for each target. An input that
breaks it stands in the folder afterwards, in a file that begins with crash-, timeout- or oom-.
"""

import sys
from pathlib import Path

import atheris

CORPUS = Path(__file__).parent / "corpus"
LONGEST = 4096  # bytes of an input; what is longer finds nothing that a shorter one does not
SLOWEST = 10  # seconds for one input; it takes a few milliseconds on a machine that others use
MEMORY = 1024  # MiB of the whole process; it takes a fifth of it

with atheris.instrument_imports(include=["config", "routing", "auth", "gateway"]):
    from tests.fuzz.catalogue import TARGETS


def explore(target: str, folder: Path, seconds: int) -> None:
    """Ends the process, by libFuzzer's own hand."""
    grown = folder / "grown"
    grown.mkdir(parents=True, exist_ok=True)
    flags = {
        "max_total_time": seconds,
        "max_len": LONGEST,
        "timeout": SLOWEST,
        "rss_limit_mb": MEMORY,
        "artifact_prefix": f"{folder}/",
        "print_final_stats": 1,
    }
    options = [f"-{name}={value}" for name, value in flags.items()]
    atheris.Setup([sys.argv[0], *options, str(grown), str(CORPUS / target)], TARGETS[target])
    atheris.Fuzz()


if __name__ == "__main__":
    explore(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
