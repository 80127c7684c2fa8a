"""What the engine costs and what a second worker brings: the plain pipeline, a Ray cluster with one worker, and one with two, on the same pictures.

Each side has one core to decode and one thread to compute for each worker, and its own empty store; the cluster is there before the clock starts, reaching it
and starting its workers is part of the time. `--kill` is the long form of the test with a dead node: one of three nodes is killed half way, and the vectors are
compared with those of the plain pipeline.

    python benchmarks/cluster.py --pictures 20000 --rounds 3
    python benchmarks/cluster.py --pictures 20000 --kill
"""

from __future__ import annotations

import argparse
import logging
import os
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

os.environ.update({"OMP_NUM_THREADS": "1", "RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"})

import numpy as np
import torch
from PIL import Image
from shapes import machine

from clipcap_cli.cluster.embedding import embed_on_cluster
from clipcap_cli.cluster.engine import Engine
from clipcap_cli.datasets.adding import add_dataset
from clipcap_cli.datasets.dataset import Dataset, open_dataset
from clipcap_cli.embeddings.pipeline import Embedded, embed_dataset
from clipcap_cli.encoders.registry import load_encoder
from clipcap_cli.events import Advanced, Event
from clipcap_cli.storage.home import Home

SPEC = "efficientnet-lite0"
SIDE = 96
BARS = {"overhead of one worker": 0.15, "two workers against one": 1.6}
NODE = {"num_cpus": 1, "object_store_memory": 100 * 2**20, "include_dashboard": False}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--shard-size", type=int, default=1_000)
    parser.add_argument("--kill", action="store_true", help="kill one of three nodes half way, and compare")
    asked = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(prefix="clipcap-cluster-") as folder:
        root = Path(folder)
        draw(root / "pictures", asked.pictures)
        print(
            f"{machine()}; {asked.pictures:,} JPEG files of {SIDE} x {SIDE}, {SPEC} in {load_encoder(SPEC).precision}, shards of {asked.shard_size:,}\n",
            flush=True,
        )
        (kill if asked.kill else compare)(root, asked)


def compare(root: Path, asked: argparse.Namespace) -> None:
    """All sides take turns."""
    seconds: dict[str, list[float]] = {"plain": [], "one worker": [], "two workers": []}
    for number in range(asked.rounds):
        for side in seconds:
            dataset = added(root, f"{number}-{side}")
            if side == "plain":
                took = timed(lambda dataset=dataset: embed_dataset(dataset, load_encoder(SPEC), workers=1))
            else:
                with cluster_of(1 if side == "one worker" else 2) as cluster:
                    engine = Engine(cluster.address, shard_size=asked.shard_size, threads=1)
                    took = timed(lambda dataset=dataset, engine=engine: embed_on_cluster(dataset, load_encoder(SPEC), engine))
            seconds[side].append(took)
            print(
                f"round {number + 1}: {side:12} {took:7.1f} s  {asked.pictures / took:6.1f} pictures/s  (load {os.getloadavg()[0]:.1f})",
                file=sys.stderr,
                flush=True,
            )
    print("| side | s, median (spread) | pictures/s |\n|---|---|---|")
    for side, took in seconds.items():
        print(f"| {side} | {told(took, 1)} | {asked.pictures / statistics.median(took):.1f} |")
    overhead = [one / plain - 1 for one, plain in zip(seconds["one worker"], seconds["plain"], strict=True)]
    gain = [one / two for one, two in zip(seconds["one worker"], seconds["two workers"], strict=True)]
    print("\n| figure | median (spread) | bar |\n|---|---|---|")
    print(f"| overhead of one worker | {told(overhead, 3)} | under {BARS['overhead of one worker']} |")
    print(f"| two workers against one | {told(gain, 2)} | {BARS['two workers against one']} |")


def kill(root: Path, asked: argparse.Namespace) -> None:
    """One of three nodes dies half way."""
    dataset, encoder, done = added(root, "killed"), load_encoder(SPEC), 0
    with cluster_of(2) as cluster:
        victim = cluster.add_node(**NODE)

        def listen(event: Event) -> None:
            nonlocal done, victim
            done += event.amount if isinstance(event, Advanced) else 0
            if victim is not None and done >= asked.pictures / 2:
                cluster.remove_node(victim, allow_graceful=False)
                victim = None
                print(f"a node is killed after {done:,} pictures", flush=True)

        began = time.monotonic()
        embedded = embed_on_cluster(dataset, encoder, Engine(cluster.address, shard_size=asked.shard_size, threads=1), events=listen)
        took = time.monotonic() - began
    plain_home = added(root, "plain")
    plain = embed_dataset(plain_home, encoder)
    ids = [image_id.decode() for image_id in dataset.image_ids()]
    differ = int((embedded.store.gather(ids) != plain.store.gather(ids)).any(1).sum())
    print(f"{embedded.new:,} pictures in {took:.1f} s; {len(embedded.store):,} rows, {len(ids) - embedded.new} lost, {differ:,} unlike the plain pipeline's")
    if differ or embedded.new != len(set(ids)) or len(embedded.store) != len(set(ids)):
        sys.exit("the result is not that of the plain pipeline")


def draw(folder: Path, pictures: int) -> None:
    folder.mkdir()
    noise = np.random.default_rng(0)
    for number in range(pictures):
        corners = noise.integers(0, 256, (6, 6, 3), np.uint8)
        Image.fromarray(corners).resize((SIDE, SIDE), Image.Resampling.BICUBIC).save(folder / f"{number:06}.jpg", quality=90)
    (folder / "metadata.csv").write_text("file_name,text\n" + "".join(f"{number:06}.jpg,picture {number}\n" for number in range(pictures)))


def added(root: Path, name: str) -> Dataset:
    home = Home(root / f"home-{name.replace(' ', '-')}")
    add_dataset(root / "pictures", name="drawn", home=home)
    return open_dataset("drawn", home=home)


@contextmanager
def cluster_of(nodes: int) -> Iterator[Any]:
    """A cluster of nodes of one core each on this machine."""
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args=NODE)
    for _ in range(nodes - 1):
        cluster.add_node(**NODE)
    try:
        yield cluster
    finally:
        cluster.shutdown()


def timed(work: Any) -> float:
    began = time.monotonic()
    embedded: Embedded = work()
    assert not embedded.problems, embedded.problems[0]
    return time.monotonic() - began


def told(values: list[float], digits: int) -> str:
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"


if __name__ == "__main__":
    main()
