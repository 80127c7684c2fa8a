"""How long the quickstart takes, command by command, from an empty store.

    python benchmarks/quickstart.py

What `make demo` does after the installation: add examples/food, train recipes/quickstart.yaml, write captions. The bars: under 4 minutes in all, training
under 2.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOOD = ROOT / "examples" / "food"
STEPS = (
    ("dataset add examples/food", ("dataset", "add", str(FOOD))),
    ("embed food", ("embed", "food", "--encoder", "efficientnet-lite0")),
    ("train quickstart", ("train", "quickstart")),
    ("caption examples/food/images", ("caption", str(FOOD / "images"))),
)


def main() -> None:
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}\n")
    print("| command | s |")
    print("|---|---|")
    whole = time.monotonic()
    with tempfile.TemporaryDirectory() as home:
        environment = {**os.environ, "CLIPCAP_HOME": home, "CLIPCAP_OFFLINE": "1"}
        for label, arguments in STEPS:
            began = time.monotonic()
            subprocess.run((sys.executable, "-m", "clipcap_cli", *arguments), env=environment, check=True, capture_output=True)
            print(f"| `clipcap {label}` | {time.monotonic() - began:.1f} |", flush=True)
    print(f"| in all | {time.monotonic() - whole:.1f} |")


if __name__ == "__main__":
    main()
