"""How much of the bare forward pass's speed is left when pictures are read from disk, decoded, prepared and handed over.

    python benchmarks/embed.py [--images FOLDER] [--count 512] [--rounds 5] [--batch-size 32] [--encoder efficientnet-lite0]

All sides run the same network in the same precision on batches of the same size, in turns: "one pass" is the network on scaled tensors that lie ready in
memory, each operation shared among all threads; "encode" is the encoder on ready pixels, a few pictures a core at a time; "pipeline" goes from JPEG files on
disk to vectors. Its ratio is to the faster of the other two in the same round. CPU time shows what other work on the machine hides. Without --images, pictures
are made.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from clipcap_cli.datasets.pictures import open_picture
from clipcap_cli.embeddings.pipeline import encode_pictures
from clipcap_cli.encoders.network import NetworkEncoder
from clipcap_cli.encoders.registry import load_encoder
from clipcap_cli.errors import ClipcapError
from clipcap_cli.storage.home import Home

ONE_PASS, ENCODE, PIPELINE = "one pass", "encode", "pipeline"


def make_pictures(folder: Path, count: int) -> None:
    """JPEG files of 640 x 480 pixels with something of everything in them."""
    random = np.random.default_rng(0)
    for number in range(count):
        coarse = Image.fromarray(random.integers(0, 256, (15, 20, 3), dtype=np.uint8))
        smooth = np.asarray(coarse.resize((640, 480), Image.Resampling.BICUBIC), np.int16)
        noisy = np.clip(smooth + random.integers(-12, 13, smooth.shape), 0, 255).astype(np.uint8)
        Image.fromarray(noisy).save(folder / f"{number}.jpg", quality=90)


def processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor()


def sides(encoder: NetworkEncoder, paths: list[Path], pixels: np.ndarray, batch_size: int, workers: int | None) -> dict[str, Callable[[], np.ndarray]]:
    """The three ways to the same vectors."""
    ready = [pixels[start : start + batch_size] for start in range(0, len(pixels), batch_size)]
    tensors = [encoder.scale(batch) for batch in ready]
    network = encoder.network()

    def one_pass() -> np.ndarray:
        with torch.inference_mode():
            return torch.cat([network(batch).float().cpu() for batch in tensors]).numpy()

    def pipeline() -> np.ndarray:
        results = [result for _, result in encode_pictures(paths, encoder, batch_size=batch_size, workers=workers)]
        failed = [result for result in results if isinstance(result, ClipcapError)]
        assert not failed, failed[0]
        return np.stack(results)

    return {ONE_PASS: one_pass, ENCODE: lambda: np.concatenate([encoder.encode(batch) for batch in ready]), PIPELINE: pipeline}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=Path, help="a folder of JPEG files")
    parser.add_argument("--count", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--workers", type=int)
    parser.add_argument("--encoder", default="efficientnet-lite0")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = asked.images or Path(temporary)
        if not asked.images:
            make_pictures(folder, asked.count)
        paths = sorted(folder.glob("*.jp*g"))[: asked.count]
        if not paths:
            parser.error(f"{folder} has no JPEG files")
        encoder = load_encoder(asked.encoder, home=Home(Path(temporary) / "home"))
        assert isinstance(encoder, NetworkEncoder)

        began = time.thread_time()
        pixels = np.stack([encoder.preprocess(open_picture(path.read_bytes(), path.name)) for path in paths])
        decoding = (time.thread_time() - began) / len(paths)
        with Image.open(paths[0]) as first:
            width, height = first.size
        ways = sides(encoder, paths, pixels, asked.batch_size, asked.workers)
        expected = ways[ENCODE]()  # warms up, too
        rates: dict[str, list[float]] = {name: [] for name in ways}
        cpu: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(asked.rounds):
            for name, way in ways.items():
                began, cpu_began = time.perf_counter(), time.process_time()
                vectors = way()
                rates[name].append(len(paths) / (time.perf_counter() - began))
                cpu[name].append((time.process_time() - cpu_began) / len(paths))
                assert np.allclose(vectors, expected, atol=0.05, rtol=0.05), name
    ratios = {name: [ours / max(one, two) for ours, one, two in zip(rates[name], rates[ONE_PASS], rates[ENCODE], strict=True)] for name in ways}
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
    print(f"machine   {processor()}, {os.cpu_count()} cores, {torch.get_num_threads()} threads of torch {torch.__version__}, load {load:.1f}")
    print(f"pictures  {len(paths)} JPEG files of {width} x {height} (the first), {asked.encoder} in {encoder.precision}, batch {asked.batch_size}")
    print()
    print("| side | pictures/s, median (spread) | ratio to the faster bare one, median (spread) | CPU time a picture |")
    print("| --- | ---: | ---: | ---: |")
    for name in ways:
        rate, ratio = rates[name], ratios[name]
        print(
            f"| {name} | {statistics.median(rate):.1f} ({min(rate):.1f} to {max(rate):.1f}) "
            f"| {statistics.median(ratio):.2f} ({min(ratio):.2f} to {max(ratio):.2f}) | {statistics.median(cpu[name]) * 1000:.1f} ms |"
        )
    print()
    share = decoding / statistics.median(cpu[PIPELINE])
    print(f"Reading, decoding and preparing a picture takes {decoding * 1000:.2f} ms of CPU time, {share:.0%} of the whole.")
    print(f"What limits: {'the network' if share < 0.5 else 'decoding'}.")


if __name__ == "__main__":
    main()
