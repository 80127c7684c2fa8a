"""What training costs before and while it learns from very many pairs: memory, the wait for the first step, and the time of a step.

    python benchmarks/million_pairs.py [--pairs 3300000] [--steps 60] [--rounds 3] [--folder FOLDER]

Makes a store with random embeddings of 512 numbers (fp16; 3.4 GB for 3.3 million) and captions of random words as long as COCO's, then trains `builtin:nano`
on it by the real `train`, in a process of its own; the same with 10,000 pairs, in turns. Making the stores is not timed. The bars: under 2.5 GB, first step
within 20 s, steps as fast as with 10,000 pairs.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from shapes import machine, spread_of, table

from clipcap_cli.datasets.versions import DATASET_FILE, FORMAT, Picture, version_folder, write_version
from clipcap_cli.embeddings.store import open_store
from clipcap_cli.storage.atomic import write_json
from clipcap_cli.storage.home import Home

FEW = 10_000
SIZE = 512
AT_ONCE = 100_000
WORDS = (
    "a",
    "the",
    "of",
    "on",
    "with",
    "man",
    "dog",
    "red",
    "blue",
    "plate",
    "table",
    "street",
    "bowl",
    "bread",
    "holding",
    "sitting",
    "next",
    "large",
    "white",
)


class Synthetic:
    """Stands in for an encoder whose embeddings are all there."""

    spec, fingerprint, embedding_size, image_size, precision = "synthetic:512", "5e7" * 5, SIZE, 224, "fp32"

    def preprocess(self, image: Any) -> Any:
        raise AssertionError("everything is embedded")

    encode = preprocess


def make(home: Home, pairs: int) -> None:
    """A dataset of `pairs` pictures with a caption each, and their embeddings."""
    random = np.random.default_rng(0)
    home.prepare()
    ids = [f"{number:032x}" for number in range(pairs)]
    lengths = np.clip(np.rint(random.gamma(8.0, 0.55, pairs) + 6.1), 5, 48).astype(int)
    words = random.integers(0, len(WORDS), lengths.sum())
    ends = lengths.cumsum()
    captions = (" ".join(WORDS[word] for word in words[end - length : end]) for length, end in zip(lengths, ends, strict=True))
    pictures = [Picture(image_id, "", image_id, "train", 0, 0, 0, 0, (caption,)) for image_id, caption in zip(ids, captions, strict=True)]
    folder = home.datasets / "pairs"
    version_folder(folder, 1).mkdir(parents=True)
    facts = {"version": 1, "created": "2000-01-01T00:00:00+00:00", "source": "made", "layout": "made", "reason": "made", "digest": ""}
    write_version(version_folder(folder, 1), pictures, [], facts)
    write_json(folder / DATASET_FILE, {"format": FORMAT, "name": "pairs", "source": "made", "policy": "in-place", "current": 1})
    store = open_store(home, Synthetic())
    for start in range(0, pairs, AT_ONCE):
        part = ids[start : start + AT_ONCE]
        store.append(part, random.standard_normal((len(part), SIZE), np.float32))


def train_on(home: Home, steps: int) -> dict[str, float]:
    """Seconds to the first step, seconds of a step, greatest resident memory in GB."""
    began = time.perf_counter()
    from clipcap_cli.events import Advanced
    from clipcap_cli.training import train as module

    module.load_encoder = lambda *_, **__: Synthetic()  # type: ignore[assignment]
    ticks: list[float] = []

    def heard(event: object) -> None:
        if isinstance(event, Advanced) and event.task == "train":
            ticks.append(time.perf_counter())

    settings = {"dataset.name": "pairs", "dataset.val": None, "encoder.standardize": True, "train.steps": steps, "train.validate_every": 10**9}
    module.train("quickstart", settings, home=home, events=heard)
    gaps = np.diff(ticks)[len(ticks) // 4 :]
    return {"first": ticks[0] - began, "step": statistics.median(gaps), "memory": peak()}


def peak() -> float:
    """Greatest resident memory of this program, in GB (Linux). `getrusage` would count the process that started it too."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024 / 1e9


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=3_300_000)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="where the store is made; a temporary folder if nothing is said")
    parser.add_argument("--train", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.train:
        print(json.dumps(train_on(Home(asked.train), asked.steps)))
        return
    print(machine())
    found: dict[int, list[dict[str, float]]] = {FEW: [], asked.pairs: []}
    with tempfile.TemporaryDirectory(dir=asked.folder) as temporary:
        homes = {pairs: Home(Path(temporary) / str(pairs)) for pairs in found}
        for pairs, home in homes.items():
            began = time.perf_counter()
            make(home, pairs)
            print(f"{pairs:,} pairs made in {time.perf_counter() - began:.0f} s", flush=True)
        for _ in range(asked.rounds):
            for pairs, home in homes.items():
                line = [sys.executable, __file__, "--train", str(home.root), "--steps", str(asked.steps)]
                found[pairs].append(json.loads(subprocess.run(line, check=True, capture_output=True, text=True).stdout))

    def cells(runs: list[dict[str, float]]) -> tuple[str, ...]:
        first, step, memory = ([run[key] for run in runs] for key in ("first", "step", "memory"))
        return spread_of(first, 1), spread_of([seconds * 1000 for seconds in step], 0), f"{max(memory):.2f}"

    table(("pairs", "first step after, s", "a step, ms", "resident memory at most, GB"), [(f"{pairs:,}", *cells(runs)) for pairs, runs in found.items()])


if __name__ == "__main__":
    main()
