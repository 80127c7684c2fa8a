"""What very many pictures would need: computed from what `scale.py` measured and from assumptions, which are all here, to be replaced by one's own."""

from __future__ import annotations

import argparse
import io
import time
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from growth import Growth, number
from PIL import Image
from shapes import table

from clipcap_cli.datasets.pictures import open_picture
from clipcap_cli.encoders.openai import PREPROCESSING
from clipcap_cli.words import size as size_of

PICTURES = (10**8, 4 * 10**9)
PICTURE_BYTES = 50_000  # assumed: a JPEG file of about 400 x 300 pixels
SHARD = 10_000  # pictures of a shard, as webdataset's are often packed: 500 MB
VECTOR_FILE = 256 * 2**20  # bytes, the store's own
NODE = 8  # devices of a node
HOURS = 24  # in which all shall be done
CORES = 16  # of a node for each device (assumed)


@dataclass(frozen=True)
class Accelerator:
    """A kind of device.

    Attributes:
        rate: pictures a second through CLIP ViT-B/32, prepared already.
        price: of an hour, in dollars.
        source: where both are from.
    """

    name: str
    rate: float
    price: float
    source: str

    @staticmethod
    def parse(text: str) -> Accelerator:
        try:
            name, rate, price = text.split(":")
            return Accelerator(name, float(rate), float(price), "given")
        except ValueError as error:
            raise argparse.ArgumentTypeError(f"{text!r} is not NAME:PICTURES_PER_SECOND:PRICE_PER_HOUR") from error


ACCELERATORS = (
    Accelerator("2 CPU cores", 28, 0.10, "rate measured (docs/performance.md, 25 to 33 from JPEG files of 640 x 480); price assumed"),
    Accelerator("RTX 3080", 1500, 0.20, "rate as the README of rom1504/clip-retrieval says it (picture and text); price assumed"),
    Accelerator(
        "A100",
        6000,
        1.50,
        "rate assumed: 2,226/s of ViT-B/16 in fp16 (examples/04_vit of facebookincubator/AITemplate) x 4 for the fewer operations x 0.7; "
        "price as mercatus-ai.com/blog/cloud-gpu-pricing had it in May 2026",
    ),
    Accelerator("H100", 12000, 3.00, "rate assumed: twice an A100's; price as for the A100"),
)


def decoding() -> dict[str, float]:
    """Seconds of one core for reading, decoding and preparing a JPEG file of this size, least of several rounds of 50."""
    random = np.random.default_rng(0)
    taken = {}
    for width, height in ((256, 256), (400, 300), (640, 480)):
        files = []
        for _ in range(50):
            coarse = Image.fromarray(random.integers(0, 256, (15, 20, 3), dtype=np.uint8))
            stream = io.BytesIO()
            coarse.resize((width, height), Image.Resampling.BICUBIC).save(stream, "JPEG", quality=90)
            files.append(stream.getvalue())
        rounds = []
        for _ in range(7):
            began = time.thread_time()
            for data in files:
                PREPROCESSING.pixels(open_picture(data, ""))
            rounds.append((time.thread_time() - began) / len(files))
        taken[f"{width} x {height}"] = min(rounds)
    return taken


def print_plan(rows: Mapping[str, Growth], decoded: Mapping[str, float], accelerators: tuple[Accelerator, ...]) -> None:
    """Tables: what is assumed, what lies on disk, and hours and money by kind of device."""
    print("\nDecoding on this machine, measured:\n")
    table(("JPEG file of", "ms of one core a picture", "pictures/s a core"), [(of, f"{s * 1000:.2f}", f"{1 / s:.0f}") for of, s in decoded.items()])
    print("\nAssumed:\n")
    table(("device", "pictures/s", "$ an hour", "from"), [(one.name, number(one.rate), f"{one.price:.2f}", one.source) for one in accelerators])
    print("\nOn disk, computed:\n")
    table(("", *(f"{many:,} pictures" for many in PICTURES)), _disk(rows))
    middle = list(decoded.values())[1]
    for many in PICTURES:
        print(f"\n{many:,} pictures, computed:\n")
        heads = ("device", "device hours", f"nodes of {NODE} for {HOURS} h", "$", f"cores a device that decode, of {CORES}", "Gbit/s a device", "limited by")
        table(heads, [_work(one, many, middle) for one in accelerators])


def _disk(rows: Mapping[str, Growth]) -> list[tuple[str, ...]]:
    def bytes_of(title: str) -> float:
        return list(rows[title].points.values())[-1]

    vectors, index, version = (bytes_of(title) for title in ("vectors, bytes a row", "index, bytes a row", "version of the dataset, bytes a picture"))
    sorted_ids = bytes_of("sorted ids: bytes a row")
    lines = {
        f"pictures, {PICTURE_BYTES // 1000} kB each (assumed)": lambda many: size_of(many * PICTURE_BYTES),
        f"shards of {SHARD:,} pictures": lambda many: f"{many / SHARD:,.0f}",
        "vectors": lambda many: size_of(many * vectors),
        "files of vectors": lambda many: f"{many * vectors / VECTOR_FILE:,.0f}",
        "index in one SQLite file": lambda many: size_of(many * index),
        "index as sorted ids and rows": lambda many: size_of(many * sorted_ids),
        "one version of the dataset": lambda many: size_of(many * version),
    }
    return [(title, *(line(many) for many in PICTURES)) for title, line in lines.items()]


def _work(one: Accelerator, many: int, decode_s: float) -> tuple[str, ...]:
    """By what the device can do, or what the cores beside it can decode for it, whichever is less."""
    fed = CORES / decode_s
    rate = min(one.rate, fed)
    hours = many / rate / 3600
    limit = "decoding" if fed < one.rate else "the device"
    gbits = rate * PICTURE_BYTES * 8 / 1e9
    return one.name, number(hours), f"{hours / HOURS / NODE:,.2f}", number(hours * one.price), f"{rate * decode_s:.1f}", f"{gbits:.2f}", limit
