"""Spoilt files at every door of clipcap: how many are refused with a sentence, how many are read all the same, and whether anything else happens.

    python benchmarks/hostile.py [--files 1000] [--only DOOR] [--seed 0]

A small store, a bundle, a language model and an encoder are made first. Then, door by door, good files are spoilt at random: bits turned, parts cut off,
numbers that lie, odd values in the place of others. Each is read by the function that the commands call. A child process does it, so that a crash is
counted and not suffered: it may take 8 GB of address space, and 20 seconds for a file. `other` counts what is neither read nor refused by one of clipcap's
own errors; the file that led to it is kept. `memory` is what that process held at most beyond what it held at first. At last the pickles that are known to
be hostile are read in a folder that is watched: each of them leaves a file there if anything of it is run.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from doors import Door, make_doors

from clipcap_cli.errors import ClipcapError

MOST_BYTES = 8 * 2**30
LONGEST_S = 20
KEPT = Path(tempfile.gettempdir()) / "clipcap-hostile"
HOSTILE = Path(__file__).resolve().parent.parent / "tests" / "data" / "golden" / "pickles" / "hostile"


@dataclass
class Counts:
    """What became of the files at one door."""

    ended: Counter[str] = field(default_factory=Counter)
    slowest_s: float = 0.0
    memory_mb: int = 0
    wrong: list[str] = field(default_factory=list)


class TooSlowError(Exception):
    """A file took longer than it may."""


def _too_slow(*_: object) -> None:
    raise TooSlowError


def try_door(door: Door, files: int, seed: int) -> Counts:
    """Read so many spoilt files in child processes; where one dies, the next goes on behind the file that killed it."""
    counts, first = Counts(), 0
    while first < files:
        first = _in_child(door, range(first, files), seed, counts)
    return counts


def _in_child(door: Door, numbers: range, seed: int, counts: Counts) -> int:
    """The number of the file to go on with."""
    here, there = os.pipe()
    sys.stdout.flush()
    child = os.fork()
    if not child:
        os.close(here)
        try:  # whatever happens, the child must not go on with what its parent does: the folder is not its own
            with os.fdopen(there, "w", buffering=1) as stream:
                _read_all(door, numbers, seed, lambda said: print(json.dumps(said), file=stream))
            os._exit(0)
        finally:
            os._exit(1)
    os.close(there)
    reached = numbers.start - 1
    with os.fdopen(here) as stream:
        before = int(next(stream))
        for line in stream:
            reached, ended, seconds, reason = json.loads(line)
            counts.ended[ended] += 1
            counts.slowest_s = max(counts.slowest_s, seconds)
            if ended not in ("refused", "read"):
                counts.wrong.append(f"{door.name}: {reason} ({keep(door, reached, seed)})")
    _, status, used = os.wait4(child, 0)
    counts.memory_mb = max(counts.memory_mb, (used.ru_maxrss - before) // 1024)
    if os.waitstatus_to_exitcode(status):
        reached += 1
        counts.ended["other"] += 1
        counts.wrong.append(f"{door.name}: the process ended with {os.waitstatus_to_exitcode(status)} ({keep(door, reached, seed)})")
    return reached + 1


def _read_all(door: Door, numbers: range, seed: int, tell: Callable[[object], None]) -> None:
    tell(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
    resource.setrlimit(resource.RLIMIT_AS, (MOST_BYTES, MOST_BYTES))
    signal.signal(signal.SIGALRM, _too_slow)
    os.fsync = lambda handle: None  # nothing here is about power cuts
    warnings.simplefilter("ignore")
    for number in numbers:
        door.put(spoil(door, number, seed))
        started = time.monotonic()
        signal.alarm(LONGEST_S)
        ended, reason = "read", ""
        try:
            door.read()
        except ClipcapError as error:
            ended = "refused" if error.message and error.exit_code in (3, 4, 6) else "other"
        except BaseException as error:
            lines = traceback.format_exception_only(error)
            place = traceback.extract_tb(error.__traceback__)[-1]
            ended, reason = "other", f"{lines[-1].strip()[:150]} at {Path(place.filename).name}:{place.lineno}"
        signal.alarm(0)
        tell((number, ended, time.monotonic() - started, reason))


def spoil(door: Door, number: int, seed: int) -> bytes:
    """The file of this number: always the same one."""
    numbers = random.Random(f"{door.name} {number} {seed}")
    good = numbers.choice(door.good)
    return door.spoil(good, numbers)


def keep(door: Door, number: int, seed: int) -> Path:
    KEPT.mkdir(exist_ok=True)
    path = KEPT / f"{door.name.replace('/', '-').replace(' ', '-')}-{number}-{seed}"
    path.write_bytes(spoil(door, number, seed))
    return path


def try_hostile(doors: dict[str, Door], folder: Path) -> Iterator[tuple[str, str]]:
    """How each pickle that is known to be hostile ended at its door."""
    watched = folder / "watched"
    watched.mkdir()
    with contextlib.chdir(watched):
        for path in sorted(HOSTILE.iterdir()):
            door = doors.get({".pkl": "data pickle", ".pt": "checkpoint"}.get(path.suffix, ""))
            if door is None or path.name == "cache_data.pkl":  # list.json; and the harmless one beside a cache that is not
                continue
            door.put(path.read_bytes())
            try:
                door.read()
                yield path.name, "read"
            except ClipcapError:
                yield path.name, "refused" if not list(watched.iterdir()) else "it was run"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=1000, help="at each door; slow doors get a tenth")
    parser.add_argument("--only", help="doors whose names have this in them")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    shutil.rmtree(KEPT, ignore_errors=True)
    total, wrong = Counter[str](), []
    with tempfile.TemporaryDirectory(prefix="clipcap-hostile-") as name:
        os.environ["CLIPCAP_OFFLINE"] = "1"
        os.environ["CLIPCAP_HOME"] = f"{name}/home"
        with contextlib.redirect_stdout(sys.stderr):
            doors = {door.name: door for door in make_doors(Path(name)) if not arguments.only or arguments.only in door.name}
        print(f"{platform.machine()}, Python {platform.python_version()}, seed {arguments.seed}\n")
        print("| door | files | refused | read | other | slowest | memory |\n|---|---|---|---|---|---|---|")
        for door in doors.values():
            counts = try_door(door, max(1, arguments.files // (10 if door.is_slow else 1)), arguments.seed)
            total += counts.ended
            wrong += counts.wrong
            of = counts.ended
            row = (door.name, of.total(), of["refused"], of["read"], of["other"], f"{counts.slowest_s:.1f} s", f"{counts.memory_mb:,} MB")
            print("| " + " | ".join(f"{cell:,}" if isinstance(cell, int) else cell for cell in row) + " |", flush=True)
        print(f"| all | {total.total():,} | {total['refused']:,} | {total['read']:,} | {total['other']:,} | | |")
        ended = dict(try_hostile(doors, Path(name)))
    refused = sum(how == "refused" for how in ended.values())
    print(f"\nOf {len(ended)} pickles and checkpoints that are known to be hostile, {refused} were refused and none was run.")
    wrong += [f"{path}: {how}" for path, how in ended.items() if how != "refused"]
    print("\n".join(["", *wrong]))
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
