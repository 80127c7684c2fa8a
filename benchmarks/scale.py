"""How the store grows from 10,000 to 10,000,000 pictures, and what follows for more.

    python benchmarks/scale.py [--most 10000000] [--rounds 3] [--folder FOLDER] [--accelerator NAME:PICTURES_PER_SECOND:PRICE_PER_HOUR]

Random embeddings of 512 numbers (fp16) are added to one store as `clipcap embed` adds them, 10,000 at a time; at each power of ten everything is measured, each
thing in a process of its own, and the fastest round counts. Seconds are those of all cores together, which other work on the machine changes least. 10,000,000
rows need 13 GB of disk and are removed afterwards. Then growth is fitted, and what 10^8 and 4x10^9 pictures would need is computed; `scale_plan.py` holds what
is assumed for that.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import scale_measures
from growth import Growth
from scale_measures import GROUP, LISTED, MEASURES, NAME, Synthetic, grow, peak
from scale_plan import ACCELERATORS, Accelerator, decoding, print_plan
from shapes import machine, table

from clipcap_cli.datasets.dataset import remove_dataset
from clipcap_cli.datasets.versions import version_folder
from clipcap_cli.embeddings.store import open_store
from clipcap_cli.storage.home import Home

_MARK = "measured: "
_COMMAND = """
import sys, time
from clipcap_cli.cli.main import main
code = main(sys.argv[1:])
print("measured:", time.process_time(), file=sys.stderr)
print(open("/proc/self/status").read(), file=sys.stderr)
sys.exit(code)
"""


def apart(name: str, home: Home, size: int) -> dict[str, float]:
    """One measure, in a process of its own."""
    line = [sys.executable, scale_measures.__file__, name, str(home.root), str(size)]
    answer: dict[str, float] = json.loads(subprocess.run(line, check=True, capture_output=True, text=True).stdout)
    return answer


def command(home: Home, *words: str) -> dict[str, float]:
    """A command line of clipcap as its user waits for it."""
    environment = {**os.environ, "CLIPCAP_HOME": str(home.root), "CLIPCAP_OFFLINE": "1"}
    began = time.perf_counter()
    said = subprocess.run([sys.executable, "-c", _COMMAND, *words], env=environment, check=True, capture_output=True, text=True)
    taken = time.perf_counter() - began
    cpu, _, status = said.stderr[said.stderr.index(_MARK) + len(_MARK) :].partition("\n")
    return {"s": taken, "cpu": float(cpu), "mb": peak(status)}


def best(rounds: list[dict[str, float]]) -> dict[str, float]:
    return {key: min(one[key] for one in rounds) for key in rounds[0]}


def measure_size(home: Home, start: int, size: int, rounds: int) -> dict[str, dict[str, float]]:
    """Everything at one size; the store has `start` rows before."""
    found = {"grow": grow(home, start, size), "write_dataset": apart("write_dataset", home, size)}
    for name in MEASURES:
        if name != "images" or size <= LISTED:
            found[name] = best([apart(name, home, size) for _ in range(rounds)])
    for words in (("dataset", "list"), ("dataset", "show", NAME)):
        found[" ".join(words[:2])] = best([command(home, *words) for _ in range(rounds)])
    store, version = open_store(home, Synthetic()).folder, version_folder(home.datasets / NAME, 1)
    sizes = {
        "vectors": store.glob("vectors-*"),
        "index": store.glob("index.sqlite*"),
        "version": version.iterdir(),
        "sorted": (home.root / "sorted").iterdir(),
    }
    found["bytes"] = {name: sum(path.stat().st_size for path in paths) / size for name, paths in sizes.items()}
    remove_dataset(home, NAME)
    return found


ROWS = (
    ("vectors, bytes a row", "bytes", "vectors", 1),
    ("index, bytes a row", "bytes", "index", 1),
    ("version of the dataset, bytes a picture", "bytes", "version", 1),
    ("adding 10,000 rows, s by the clock", "grow", "s", 1),
    ("adding 10,000 rows, s", "grow", "cpu", 1),
    ("opening and counting, ms", "opened", "cpu", 1000),
    ("places of 1,000 random ids, ms", "few", "cpu", 1000),
    ("1,000 random vectors, ms", "few_rows", "cpu", 1000),
    ("places of all ids of the dataset, s", "every", "cpu", 1),
    ("… memory at most, MB", "every", "mb", 1),
    ("`embed` with everything there, s", "embedded", "cpu", 1),
    ("… memory at most, MB", "embedded", "mb", 1),
    ("pictures as objects, as `embed` begins with, s", "images", "cpu", 1),
    ("… memory at most, MB", "images", "mb", 1),
    ("`dataset list`, s", "dataset list", "cpu", 1),
    ("`dataset show`, s", "dataset show", "cpu", 1),
    ("… memory at most, MB", "dataset show", "mb", 1),
    ("writing a version, s", "write_dataset", "cpu", 1),
    ("… memory at most, MB", "write_dataset", "mb", 1),
    ("sorted ids: bytes a row", "bytes", "sorted", 1),
    ("sorted ids: making them of the index, s", "sort_ids", "cpu", 1),
    ("sorted ids: places of 1,000 random ids, ms", "few_sorted", "cpu", 1000),
)


def growths(found: dict[int, dict[str, dict[str, float]]]) -> list[Growth]:
    """Each row of the table, over the sizes."""
    rows = []
    for title, measure, key, factor in ROWS:
        most = LISTED if measure == "write_dataset" else max(found)  # beyond, what takes the time is making the pictures
        rows.append(Growth(title, {size: values[measure][key] * factor for size, values in found.items() if measure in values and size <= most}))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--most", type=int, default=10_000_000, help="rows at the end, a power of ten from 10,000")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="where the store is made; a temporary folder if nothing is said")
    parser.add_argument("--accelerator", action="append", type=Accelerator.parse, help="instead of those assumed, as A100:6000:1.5; may be repeated")
    parser.add_argument("--keep", type=Path, metavar="FILE", help="write what was measured here as JSON, or plan with what is here already")
    asked = parser.parse_args()
    if asked.most < 10 * GROUP:
        parser.error(f"growth shows from two sizes on: --most {10 * GROUP} at least")
    print(machine(), flush=True)
    if asked.keep and asked.keep.exists():
        kept = json.loads(asked.keep.read_text())
        decoded, found = kept["decoding"], {int(size): values for size, values in kept["sizes"].items()}
    else:
        decoded, found = decoding(), {}
        with tempfile.TemporaryDirectory(dir=asked.folder) as temporary:
            home, start, size = Home(Path(temporary)).prepare(), 0, GROUP
            while size <= asked.most:
                found[size] = measure_size(home, start, size, asked.rounds)
                print(f"{size:,} rows: added in {found[size]['grow']['built']:.0f} s, load {os.getloadavg()[0]:.1f}", flush=True)
                start, size = size, size * 10
        if asked.keep:
            asked.keep.write_text(json.dumps({"decoding": decoded, "sizes": found}))
    rows = growths(found)
    print()
    table(("", *(f"{size:,}" for size in found)), [row.measured(found) for row in rows])
    print()
    table(("", "law", "worst residual", "exponent of the last decade", "10^8, computed", "4x10^9, computed"), [row.fitted((10**8, 4 * 10**9)) for row in rows])
    print_plan({row.title: row for row in rows}, decoded, tuple(asked.accelerator or ACCELERATORS))


if __name__ == "__main__":
    main()
