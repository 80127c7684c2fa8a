"""How much of the bare forward pass's speed is left when pictures are read from disk, decoded, prepared and handed over.

    python benchmarks/embed.py [--images FOLDER] [--count 512] [--rounds 5] [--batch-size 32] [--encoder efficientnet-lite0]
    python benchmarks/embed.py --count 128 --encoder random-ViT-B/32

All sides run the same network in the same precision on batches of the same size, in turns: "one pass" is the network on scaled tensors that lie ready in
memory, each operation shared among all threads; "encode" is the encoder on ready pixels, a few pictures a core at a time; "pipeline" goes from JPEG files on
disk to vectors. Its ratio is to the faster of the other two in the same round. "published" is the original's way, on the first 24 files: one picture at a
time, fp32; the others keep freed memory, as `clipcap embed` does. CPU time shows what other work on the machine hides. Without --images, pictures are made.
random-ViT-B/32 has CLIP's shape and random weights.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from shapes import machine

from clipcap_cli.datasets.pictures import open_picture
from clipcap_cli.embeddings.pipeline import encode_pictures
from clipcap_cli.encoders import clip_package
from clipcap_cli.encoders.memory import keeping_freed_memory
from clipcap_cli.encoders.network import NetworkEncoder
from clipcap_cli.encoders.registry import load_encoder
from clipcap_cli.errors import ClipcapError
from clipcap_cli.storage.home import Home

PUBLISHED, ONE_PASS, ENCODE, PIPELINE = "published", "one pass", "encode", "pipeline"
RANDOM = "random-ViT-B/32"
_ALONE = 24  # pictures of the published way


def make_pictures(folder: Path, count: int) -> None:
    """JPEG files of 640 x 480 pixels with something of everything in them."""
    random = np.random.default_rng(0)
    for number in range(count):
        coarse = Image.fromarray(random.integers(0, 256, (15, 20, 3), dtype=np.uint8))
        smooth = np.asarray(coarse.resize((640, 480), Image.Resampling.BICUBIC), np.int16)
        noisy = np.clip(smooth + random.integers(-12, 13, smooth.shape), 0, 255).astype(np.uint8)
        Image.fromarray(noisy).save(folder / f"{number}.jpg", quality=90)


def random_clip(folder: Path) -> str:
    """The spec of CLIP ViT-B/32 with random weights."""
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.save(clip_package.model().CLIP(512, 224, 12, 768, 32, 77, 49408, 512, 8, 12).state_dict(), folder / "clip.pt")
    return f"openai:{folder / 'clip.pt'}"


def sides(
    encoder: NetworkEncoder, plain: NetworkEncoder, paths: list[Path], pixels: np.ndarray, batch_size: int, workers: int | None
) -> dict[str, Callable[[], np.ndarray]]:
    """The ways to the same vectors."""
    ready = [pixels[start : start + batch_size] for start in range(0, len(pixels), batch_size)]
    tensors = [encoder.scale(batch) for batch in ready]
    network = encoder.network()

    def published() -> np.ndarray:
        found = []
        with torch.inference_mode():
            for path in paths[:_ALONE]:
                pixels = plain.preprocess(open_picture(path.read_bytes(), path.name))
                found.append(plain.network()(plain.scale(pixels[None])).numpy())
        return np.concatenate(found)

    def one_pass() -> np.ndarray:
        with keeping_freed_memory(), torch.inference_mode():
            return torch.cat([network(batch).float().cpu() for batch in tensors]).numpy()

    def encode() -> np.ndarray:
        with keeping_freed_memory():
            return np.concatenate([encoder.encode(batch) for batch in ready])

    def pipeline() -> np.ndarray:
        with keeping_freed_memory():
            results = [result for _, result in encode_pictures(paths, encoder, batch_size=batch_size, workers=workers)]
        failed = [result for result in results if isinstance(result, ClipcapError)]
        assert not failed, failed[0]
        return np.stack(results)

    return {PUBLISHED: published, ONE_PASS: one_pass, ENCODE: encode, PIPELINE: pipeline}


def cosines(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Of each pair of rows."""
    return (one * other).sum(1) / np.linalg.norm(one, axis=1) / np.linalg.norm(other, axis=1)


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
        spec = random_clip(Path(temporary)) if asked.encoder == RANDOM else asked.encoder
        home = Home(Path(temporary) / "home")
        encoder, plain = load_encoder(spec, home=home), load_encoder(spec, home=home, precision="fp32")
        assert isinstance(encoder, NetworkEncoder)
        assert isinstance(plain, NetworkEncoder)

        began = time.thread_time()
        pixels = np.stack([encoder.preprocess(open_picture(path.read_bytes(), path.name)) for path in paths])
        decoding = (time.thread_time() - began) / len(paths)
        with Image.open(paths[0]) as first:
            width, height = first.size
        ways = sides(encoder, plain, paths, pixels, asked.batch_size, asked.workers)
        expected = ways[ENCODE]()  # warms up, too
        rates: dict[str, list[float]] = {name: [] for name in ways}
        cpu: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(asked.rounds):
            for name, way in ways.items():
                began, cpu_began = time.perf_counter(), time.process_time()
                vectors = way()
                rates[name].append(len(vectors) / (time.perf_counter() - began))
                cpu[name].append((time.process_time() - cpu_began) / len(vectors))
                assert cosines(vectors, expected[: len(vectors)]).min() > 0.99, name
    ratios = {name: [ours / max(one, two) for ours, one, two in zip(rates[name], rates[ONE_PASS], rates[ENCODE], strict=True)] for name in ways}
    over = [ours / alone for ours, alone in zip(rates[PIPELINE], rates[PUBLISHED], strict=True)]
    print(f"machine   {machine()}")
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
    print(f"The pipeline is {statistics.median(over):.1f} ({min(over):.1f} to {max(over):.1f}) times as fast as the published way.")
    print(f"Reading, decoding and preparing a picture takes {decoding * 1000:.2f} ms of CPU time, {share:.0%} of the whole.")
    print(f"What limits: {'the network' if share < 0.5 else 'decoding'}.")


if __name__ == "__main__":
    main()
