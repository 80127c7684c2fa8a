"""How fast pictures are added, in how much memory, and on how many cores.

    python benchmarks/ingest.py                                    100,000 pictures of 20 kB, a caption each
    python benchmarks/ingest.py --side 96 --captions 10            smaller ones, a million captions in one CSV
    python benchmarks/ingest.py --side 96 --captions 10 --json     … in one JSON
    python benchmarks/ingest.py --pictures 10000                   a short run

Makes the pictures with a table of captions in a temporary folder, then adds them in a process of its own, and lists and shows the dataset. The baseline, in
the same run and before and after it, is the plain loop on one core that does no more than must be done: read each file, hash it, read its header. Files are in
the system's cache for both.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import platform
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from PIL import Image

_BASELINE = """
import hashlib, io, sys, time
from pathlib import Path
from PIL import Image
paths = sorted(str(path) for path in Path(sys.argv[1]).iterdir())
Image.init()
start = time.perf_counter()
for path in paths:
    data = open(path, "rb").read()
    hashlib.sha256(data).hexdigest()
    Image.open(io.BytesIO(data)).size
print(time.perf_counter() - start)
"""
_ADD = """
import sys, time
from pathlib import Path
from clipcap_cli.datasets.adding import add_dataset
from clipcap_cli.events import Finished, Started
from clipcap_cli.storage.home import Home
start = time.perf_counter()
marks = {}
def listen(event):
    if isinstance(event, (Started, Finished)):
        marks[type(event)] = time.perf_counter()
dataset = add_dataset(sys.argv[1], name="bench", home=Home(Path(sys.argv[2])), events=listen)
print(time.perf_counter() - start, marks[Finished] - marks[Started], dataset.pictures)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3, help="baseline and ingest are timed this often, in turn")
    parser.add_argument("--side", type=int, default=208, help="of a picture, in pixels")
    parser.add_argument("--captions", type=int, default=1, help="of a picture")
    parser.add_argument("--json", action="store_true", help="a JSON table in the place of a CSV table")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        source = Path(temporary) / "source"
        size = make_pictures(source, arguments.pictures, arguments.side)
        make_table(source, arguments.pictures, arguments.captions, arguments.json)
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        machine = f"{platform.system()} {platform.machine()}, {cores} cores, Python {platform.python_version()}"
        print(f"{machine}; {arguments.pictures:,} pictures of {size:,.0f} bytes, {arguments.captions} captions each\n")
        print(f"{'':28}{'seconds':>10}{'pictures/s':>12}{'cores busy':>12}{'memory MB':>11}")
        ratios = []
        for number in range(1, arguments.rounds + 1):
            (baseline,), cpu, wall, _ = timed(_BASELINE, str(source / "images"))
            row(f"{number}: plain loop, one core", baseline, arguments.pictures, cpu / wall)
            (whole, checking, added), cpu, wall, memory = timed(_ADD, str(source), str(Path(temporary) / f"home-{number}"))
            if added != arguments.pictures:
                sys.exit(f"{added} pictures were added, not {arguments.pictures}")
            row(f"{number}: hash and check", checking, arguments.pictures)
            row(f"{number}: add_dataset, all of it", whole, arguments.pictures, cpu / wall, memory)
            ratios.append((baseline / checking, baseline / whole))
        for command in ("list", "show"):
            seconds = min(command_seconds("dataset", command, *(["bench"] if command == "show" else []), home=f"{temporary}/home-1") for _ in range(5))
            print(f"clipcap dataset {command}: {seconds:.2f} s")
        for what, values in zip(("hash and check", "add_dataset"), zip(*ratios, strict=True), strict=True):
            print(f"\n{what} is {statistics.median(values):.2f} times as fast as the plain loop ({min(values):.2f} to {max(values):.2f})", end="")
        print()


def make_pictures(source: Path, count: int, side: int) -> float:
    """Write `count` different JPEGs; returns the mean size in bytes."""
    images = source / "images"
    images.mkdir(parents=True)
    stream = io.BytesIO()
    Image.effect_noise((side, side), 40).convert("RGB").save(stream, "JPEG", quality=75)
    data = stream.getvalue()
    for number in range(count):
        # What follows the end mark of a JPEG is ignored by decoders, and makes each file another one.
        (images / f"{number:06d}.jpg").write_bytes(data + number.to_bytes(4, "big"))
    return len(data) + 4


def make_table(source: Path, pictures: int, captions: int, as_json: bool) -> None:
    """Write captions.csv, or captions.json, with so many captions of ten words for each picture."""
    chance = random.Random(0)
    words = ["a", "dog", "cat", "bird", "on", "under", "beside", "the", "red", "blue", "old", "table", "chair", "tree", "river"]
    rows = [(f"{number:06d}.jpg", " ".join(chance.choices(words, k=10))) for number in range(pictures) for _ in range(captions)]
    if as_json:
        (source / "captions.json").write_text(json.dumps([{"image": image, "caption": caption} for image, caption in rows]))
        return
    with (source / "captions.csv").open("w", encoding="utf-8") as table:
        table.write("image,caption\n")
        table.writelines(f"{image},{caption}\n" for image, caption in rows)


def command_seconds(*line: str, home: str) -> float:
    """How long a command takes, with the start of Python."""
    start = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "clipcap_cli", *line], env={**os.environ, "CLIPCAP_HOME": home}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True
    )
    return time.perf_counter() - start


def timed(code: str, *arguments: str) -> tuple[list[float], float, float, float]:
    """Run code in a process of its own: the numbers that it prints, CPU seconds of it and its children, wall seconds, and their peak memory together in MB."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-c", code, *arguments], stdout=subprocess.PIPE, text=True)
    peak = [0.0]
    watcher = threading.Thread(target=watch, args=(process, peak))
    watcher.start()
    out, _ = process.communicate()
    watcher.join()
    wall = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if process.returncode:
        sys.exit(process.returncode)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    largest = after.ru_maxrss / (1 << 20 if sys.platform == "darwin" else 1 << 10)  # of one process; where /proc is missing, all that is known
    return [float(number) for number in out.split()], cpu, wall, max(peak[0], largest)


def watch(process: subprocess.Popen[str], peak: list[float]) -> None:
    """Keep the highest sum of resident memory of a process and its children (pages that they share are counted for each)."""
    while process.poll() is None:
        peak[0] = max(peak[0], sum(map(resident, [process.pid, *children(process.pid)])))
        time.sleep(0.05)


def children(pid: int) -> list[int]:
    found: list[int] = []
    for file in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            found += [int(child) for child in file.read_text().split()]
        except OSError:  # the thread has ended meanwhile
            continue
    return found


def resident(pid: int) -> float:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * resource.getpagesize() / (1 << 20)
    except (OSError, IndexError):
        return 0.0


def row(what: str, seconds: float, pictures: int, cores: float | None = None, memory: float | None = None) -> None:
    print(f"{what:28}{seconds:10.2f}{pictures / seconds:12,.0f}{'' if cores is None else f'{cores:.2f}':>12}{'' if memory is None else f'{memory:,.0f}':>11}")


if __name__ == "__main__":
    main()
