"""How long `clipcap --help` takes, against an interpreter that does nothing.

    python benchmarks/startup.py [--rounds 20]

Both are whole processes, in turn. The bar: under 150 ms, and no torch.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence

CLIPCAP = (sys.executable, "-m", "clipcap_cli", "--help")
NOTHING = (sys.executable, "-c", "pass")
LOADED = "import sys; from clipcap_cli.cli.main import main; main(['--help']); print(sorted({'torch', 'transformers', 'pandas', 'rich'} & set(sys.modules)))"


def milliseconds(line: Sequence[str]) -> float:
    began = time.perf_counter()
    subprocess.run(line, check=True, stdout=subprocess.DEVNULL)
    return (time.perf_counter() - began) * 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20)
    args = parser.parse_args()
    milliseconds(CLIPCAP)  # compiles what is not yet compiled
    pairs = [(milliseconds(CLIPCAP), milliseconds(NOTHING)) for _ in range(args.rounds)]
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, {args.rounds} rounds\n")
    print("| process | ms, median (min to max) |")
    print("|---|---|")
    for name, times in (("`clipcap --help`", [pair[0] for pair in pairs]), ("`python -c pass`", [pair[1] for pair in pairs])):
        print(f"| {name} | {statistics.median(times):.0f} ({min(times):.0f} to {max(times):.0f}) |")
    loaded = subprocess.run((sys.executable, "-c", LOADED), check=True, capture_output=True, text=True).stdout.splitlines()[-1]
    print(f"\nof torch, transformers, pandas and rich, --help loads: {loaded}")


if __name__ == "__main__":
    main()
