"""How many copies of pictures are found, how many pictures are taken for copies that are none, and in what time.

    python benchmarks/duplicates.py FOLDER                       500 pictures of the folder are copied in ten ways
    python benchmarks/duplicates.py FOLDER --sheet groups.jpg    the groups that are in the folder itself, to be looked at

Copies are made in memory: half and double the size; JPEG of quality 40, PNG, WebP; cropped by up to 5 % a side, at random and at its most; 20 % brighter and
darker. Those of one kind are grouped together with all pictures of the folder: a copy is found if it is in the group of its original, and nothing else leads
to it. For the time of many pictures, each is cut into quarters, which are mirrored and turned upside down: sixteen different pictures of the same kind, much
emptier than whole ones.
"""

from __future__ import annotations

import argparse
import io
import os
import platform
import random
import resource
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from PIL import Image, ImageDraw, ImageEnhance, ImageOps

from clipcap_cli.datasets.check.facts import facts_of
from clipcap_cli.datasets.duplicates.grouping import near_duplicates
from clipcap_cli.datasets.duplicates.thumbnails import as_array, thumbnail_of
from clipcap_cli.datasets.pictures import PICTURE_SUFFIXES, look_at, open_picture

SIDE = 64  # of pictures that thumbnails are made of
CROP = 0.05
COPY = "copy of "  # before the path of its original, which is absolute or begins with the folder


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--pictures", type=int, default=500, help="so many are copied")
    parser.add_argument("--many", type=int, default=100_000, help="thumbnails in the last row")
    parser.add_argument("--seed", type=int, default=0, help="which are copied, and how they are cropped")
    parser.add_argument("--sheet", type=Path, help="write the groups found in the folder itself to this picture")
    arguments = parser.parse_args()
    paths = sorted(str(path) for path in arguments.folder.rglob("*") if path.suffix.lower() in PICTURE_SUFFIXES)
    if not paths:
        sys.exit(f"{arguments.folder} has no pictures")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    print(f"{platform.system()} {platform.machine()}, {cores} cores, Python {platform.python_version()}; {len(paths):,} pictures\n")

    with ThreadPoolExecutor(cores) as threads:
        began = time.perf_counter()
        facts = [found for found in threads.map(facts_of, paths) if not found.fault]
        looking = time.perf_counter() - began
        originals = {found.path: found.thumbnail for found in facts}
        chance = random.Random(arguments.seed)
        chosen = sorted(chance.sample(sorted(originals), min(arguments.pictures, len(originals))))
        seeds = [chance.random() for _ in chosen]
        copied = {copy: made for copies in threads.map(thumbnails_of_copies, chosen, seeds) for copy, made in copies.items()}
        quarters = [made for several in threads.map(thumbnails_of_quarters, sorted(originals)) for made in several][: arguments.many]

    began = time.perf_counter()
    own = near_duplicates(list(originals), as_array(list(originals.values())))
    of_folder = time.perf_counter() - began
    print_recall(originals, copied, own)
    began = time.perf_counter()
    groups_of_many = near_duplicates([f"{number:09d}" for number in range(len(quarters))], as_array(quarters))
    of_many = time.perf_counter() - began

    print(f"\n{'':44}{'seconds':>10}{'pictures/s':>12}")
    row("read, hash, decode, make thumbnails", looking, len(paths))
    row(f"group {len(originals):,} pictures: {len(own):,} groups", of_folder, len(originals))
    row(f"group {len(quarters):,} quarters: {len(groups_of_many):,} groups", of_many, len(quarters))
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 << 20 if sys.platform == "darwin" else 1 << 10)
    print(f"\nmemory at most {memory:,.0f} MB")
    if arguments.sheet:
        write_sheet(own, arguments.sheet)


def print_recall(originals: dict[str, bytes], copied: dict[tuple[str, str], bytes], own: list[tuple[str, ...]]) -> None:
    """A row for each kind of copy: how many are in the group of their original, and how many groups join pictures that are in none without the copies."""
    known = {frozenset(group) for group in own}
    totals: Counter[str] = Counter()
    print(f"{'copies':44}{'made':>10}{'found':>12}{'recall':>10}{'groups':>10}{'wrong':>10}")
    for kind in dict.fromkeys(kind for _, kind in copied):
        copies = {f"{COPY}{path}": made for (path, of), made in copied.items() if of == kind}
        groups = near_duplicates([*originals, *copies], as_array([*originals.values(), *copies.values()]))
        group_of = {name: number for number, group in enumerate(groups) for name in group}
        found = sum(group_of.get(copy, -1) == group_of.get(copy.removeprefix(COPY)) for copy in copies)
        pictures = [frozenset(name.removeprefix(COPY) for name in group) for group in groups]
        wrong = sum(len(group) > 1 and group not in known for group in pictures)
        totals.update(made=len(copies), found=found, groups=len(groups), wrong=wrong)
        row_of_recall(kind, len(copies), found, len(groups), wrong)
    row_of_recall("all", totals["made"], totals["found"], totals["groups"], totals["wrong"])


def row_of_recall(kind: str, made: int, found: int, groups: int, wrong: int) -> None:
    print(f"{kind:44}{made:10,}{found:12,}{found / made:10.3f}{groups:10,}{wrong:10,}")


def thumbnails_of_copies(path: str, seed: float) -> dict[tuple[str, str], bytes]:
    """The thumbnails of a picture's copies, by path and kind, made from bytes as those of files are."""
    picture = open_picture(Path(path).read_bytes(), path)
    return {(path, kind): thumbnail_of(look_at(data, path, SIDE).image) for kind, data in copies_of(picture, random.Random(seed))}


def copies_of(picture: Image.Image, chance: random.Random) -> Iterator[tuple[str, bytes]]:
    """Kinds of copies, and their bytes."""
    width, height = picture.size
    yield "half the size", encoded(picture.resize((width // 2, height // 2), Image.Resampling.BICUBIC))
    yield "double the size", encoded(picture.resize((width * 2, height * 2), Image.Resampling.BICUBIC))
    yield "JPEG of quality 40", encoded(picture, quality=40)
    yield "PNG", encoded(picture, "PNG")
    yield "WebP", encoded(picture, "WEBP", quality=80)
    yield "cropped by 0 to 5 % a side", encoded(cropped(picture, *(chance.uniform(0, CROP) for _ in range(4))))
    yield "cropped by 5 % at every side", encoded(cropped(picture, CROP, CROP, CROP, CROP))
    yield "cropped by 5 % at two sides", encoded(cropped(picture, *chance.choice([(CROP, CROP, 0, 0), (0, 0, CROP, CROP), (CROP, 0, CROP, 0)])))
    yield "20 % brighter", encoded(ImageEnhance.Brightness(picture).enhance(1.2))
    yield "20 % darker", encoded(ImageEnhance.Brightness(picture).enhance(0.8))


def encoded(picture: Image.Image, form: str = "JPEG", quality: int = 90) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, form, quality=quality)
    return stream.getvalue()


def cropped(picture: Image.Image, left: float, top: float, right: float, bottom: float) -> Image.Image:
    width, height = picture.size
    return picture.crop((round(width * left), round(height * top), round(width * (1 - right)), round(height * (1 - bottom))))


def thumbnails_of_quarters(path: str) -> list[bytes]:
    """Sixteen thumbnails of parts of one picture."""
    picture = look_at(Path(path).read_bytes(), path, 2 * SIDE).image
    width, height = picture.width // 2, picture.height // 2
    quarters = [picture.crop((x * width, y * height, (x + 1) * width, (y + 1) * height)) for x in (0, 1) for y in (0, 1)]
    mirrored = [*quarters, *map(ImageOps.mirror, quarters)]
    return [thumbnail_of(part) for part in (*mirrored, *map(ImageOps.flip, mirrored))]


def row(what: str, seconds: float, pictures: int) -> None:
    print(f"{what:44}{seconds:10.1f}{pictures / seconds:12,.0f}")


def write_sheet(groups: list[tuple[str, ...]], path: Path, side: int = 180, columns: int = 6) -> None:
    """A picture with a row for each group."""
    sheet = Image.new("RGB", (columns * side, max(1, len(groups)) * (side + 16)), "white")
    draw = ImageDraw.Draw(sheet)
    for number, group in enumerate(groups):
        top = number * (side + 16)
        draw.text((2, top + 2), "  ".join(Path(name).name for name in group[:columns]), fill="black")
        for place, name in enumerate(group[:columns]):
            picture = open_picture(Path(name).read_bytes(), name)
            picture.thumbnail((side - 4, side - 4))
            sheet.paste(picture, (place * side, top + 16))
    sheet.save(path)


if __name__ == "__main__":
    main()
