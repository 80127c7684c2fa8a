"""One bit flipped anywhere in a store: how often `cache verify` finds it, by the kind of file.

    python benchmarks/flips.py [--flips 25] [--seed 0]

A store with a dataset, embeddings, a run with checkpoints, a model and an evaluation is made by the real commands. In each of its files, one after the other,
bits are flipped at random places, one at a time; each time the store is verified and the file put back. What is not found is a letter of a small file that can
still be read; nothing has a hash of those.
"""

from __future__ import annotations

import argparse
import os
import platform
import random
import sys
import tempfile
from collections import Counter
from pathlib import Path

from together import TINY, Store

from clipcap_cli.storage.home import Home
from clipcap_cli.upkeep.verify import VERIFIED, verify

NOT_OURS = ("home.json", "locks", "logs")  # neither has anything to be verified
KINDS = {".safetensors": "tensors", ".parquet": "datasets' tables", ".f16": "vectors", ".sqlite": "index of embeddings"}


def kind_of(path: Path, root: Path) -> str:
    return KINDS.get(path.suffix, f"{path.name} of {path.relative_to(root).parts[0]}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--flips", type=int, default=25, help="in each file")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    numbers = random.Random(arguments.seed)
    flipped: Counter[str] = Counter()
    found: Counter[str] = Counter()
    with tempfile.TemporaryDirectory(prefix="clipcap-flips-") as folder:
        store = Store(Path(folder))
        store.run("dataset", "add", store.draw("first", 1_000_000))
        store.run("train", "quickstart", "--dataset", "first", "name=tiny", "checkpoints.every_steps=2", "checkpoints.keep_every=2", *TINY)
        store.run("eval", "tiny", "--split", "train", "--metric", "cider")
        home = Home(store.home)
        if verify(home).findings:
            sys.exit("the store is not whole to begin with")
        for path in sorted(path for path in home.root.rglob("*") if path.is_file() and path.relative_to(home.root).parts[0] not in NOT_OURS):
            kinds = [path.relative_to(home.root).parts[0]]
            data, stat = path.read_bytes(), path.stat()
            for _ in range(arguments.flips if data else 0):
                spoilt = bytearray(data)
                spoilt[numbers.randrange(len(data))] ^= 1 << numbers.randrange(8)
                path.write_bytes(spoilt)
                os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
                flipped[kind_of(path, home.root)] += 1
                found[kind_of(path, home.root)] += bool(verify(home, [kind for kind in kinds if kind in VERIFIED]).findings)
            path.write_bytes(data)
            os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
        if verify(home).findings:
            sys.exit("the store is not whole afterwards")
    print(f"{platform.machine()}, Python {platform.python_version()}\n\n| file | flips | found |\n|---|---|---|")
    for kind, number in sorted(flipped.items()):
        print(f"| {kind} | {number} | {found[kind]} |")


if __name__ == "__main__":
    main()
