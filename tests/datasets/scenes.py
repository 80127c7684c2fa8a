"""Pictures and captions like no other, and datasets made of them."""

from __future__ import annotations

import csv
import io
import random
from collections.abc import Iterable
from pathlib import Path

from PIL import Image, ImageDraw

Row = tuple[str, str, str]  # picture, caption, split

_THINGS = ("dog", "boat", "child", "horse", "kite", "bridge", "cyclist", "tent", "tree", "bird", "clown", "truck", "cat", "lamp")
_PLACES = ("a river", "the old harbour", "a wide field", "a snowy hill", "the market", "a grey wall", "a quiet street", "the stadium", "a lake", "the station")


def scene(seed: int, size: tuple[int, int] = (160, 120)) -> Image.Image:
    """A picture like no other: a sky, a ground, and shapes."""
    chance = random.Random(seed)

    def colour() -> tuple[int, ...]:
        return tuple(chance.randrange(256) for _ in range(3))

    width, height = size
    picture = Image.new("RGB", size, colour())
    draw = ImageDraw.Draw(picture)
    draw.rectangle((0, chance.randrange(height // 4, height), width, height), fill=colour())
    for _ in range(14):
        left, top = chance.randrange(-20, width), chance.randrange(-20, height)
        box = (left, top, left + chance.randrange(8, width // 2), top + chance.randrange(8, height // 2))
        chance.choice((draw.rectangle, draw.ellipse))(box, fill=colour())
    return picture


def encoded(picture: Image.Image, form: str = "JPEG", **options: object) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, form, **options)
    return stream.getvalue()


def sentence(number: int) -> str:
    """A caption like no other."""
    first, rest = number % len(_THINGS), number // len(_THINGS)
    return f"A {_THINGS[first]} and number {number} of the {_THINGS[(first + 1 + rest) % len(_THINGS)]} family stand by {_PLACES[rest % len(_PLACES)]}."


def write_table(source: Path, rows: Iterable[Row]) -> None:
    """captions.csv, which has splits."""
    with (source / "captions.csv").open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(("image", "caption", "split"))
        writer.writerows(rows)


def clean_source(source: Path) -> list[Row]:
    """Make a source with nothing wrong; returns the rows of its table."""
    (source / "images").mkdir(parents=True)
    rows = []
    for number, split in enumerate(["train"] * 60 + ["val"] * 50 + ["test"] * 50):
        name = f"{number:03d}.jpg"
        (source / "images" / name).write_bytes(encoded(scene(number), quality=90))
        rows.append((name, sentence(number), split))
    write_table(source, rows)
    return rows
