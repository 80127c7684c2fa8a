"""Eight processes at once on one store, round after round: adding, embedding the same pictures, training, captioning, pruning, verifying.

    python benchmarks/together.py [--rounds 20] [--kill] [--seed 0]

In each round two processes add the same dataset and then, in small batches, the same embeddings; two embed another dataset by the real encoder; one trains; one
captions and evaluates; one prunes, chooses models and looks at sizes, and one verifies, over and over until the others have ended. With --kill one of those
that write is killed (SIGKILL) at a random moment. What was killed or busy is typed again after the round. A round is good if every process ended with 0, or
with 6 and a sentence that names who was in its way; if none took longer than two minutes; if afterwards `cache verify` finds nothing, every dataset opens, and
no embedding is missing or another than it should be.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
PICTURES = 40  # of each dataset
TINY = ("train.steps=4", "language_model.tune=frozen", "mapper.kind=linear", "mapper.prefix_length=1", "decode.beams=2", "decode.max_tokens=8")
ENCODER = ("--encoder", "efficientnet-lite0")
LIMIT_S = 120.0
PAUSE_S = 0.5  # between the commands that are typed over and over
BUSY = re.compile(r"is being changed by process \d+ \(.+, since .+\)")

# Adds the embeddings of a dataset by an encoder that is none, three at a time: what a vector is follows from its image.
APPEND = """
import sys
from pathlib import Path
import numpy as np
from clipcap_cli.datasets.dataset import open_dataset
from clipcap_cli.embeddings.store import open_store
from clipcap_cli.storage.home import Home

class Encoder:
    spec, fingerprint, precision, embedding_size = "test:together", "70635", "fp32", 8

def vectors(ids):
    return np.array([[int(image_id[place], 16) for place in range(8)] for image_id in ids], np.float32)

home = Home(Path(sys.argv[1]))
store = open_store(home, Encoder())
ids = [image.image_id for image in open_dataset(sys.argv[2], home=home).images()]
for start in range(0, len(ids), 3):
    store.append(ids[start : start + 3], vectors(ids[start : start + 3]))
assert (store.gather(ids) == vectors(ids)).all(), "an embedding is another than it should be"
"""


@dataclass
class Round:
    """What happened: how often each command ended how, and what was wrong."""

    ended: Counter[tuple[str, int]] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    again: list[tuple[object, ...]] = field(default_factory=list)
    waited_for: int = 0
    killed: int = 0


class Store:
    """A store, and the commands on it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.home = folder / "home"
        # One thread each: eight processes fight for the cores as it is.
        variables = {"PYTHONPATH": str(ROOT), "CLIPCAP_HOME": str(self.home), "CLIPCAP_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
        self.environment = {**os.environ, **variables}

    def draw(self, name: str, seed: int) -> Path:
        """Small pictures that no other dataset has, with captions."""
        folder = self.folder / name
        folder.mkdir()
        numbers = random.Random(seed)
        for number in range(PICTURES):
            colour = tuple(numbers.randrange(256) for _ in range(3))
            Image.new("RGB", (24, 24), colour).save(folder / f"{number:03d}.png")
            (folder / f"{number:03d}.txt").write_text(f"a picture of the colour {colour}\n")
        return folder

    def start(self, *words: object) -> subprocess.Popen[str]:
        """A process: `append DATASET`, or a command of clipcap."""
        typed = [str(word) for word in words]
        line = ["-c", APPEND, str(self.home), *typed[1:]] if typed[0] == "append" else ["-m", "clipcap_cli", *typed]
        return subprocess.Popen([sys.executable, *line], env=self.environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def run(self, *words: object) -> str:
        """A command that has to end well, and its output."""
        process = self.start(*words)
        out, err = process.communicate(timeout=LIMIT_S)
        if process.returncode:
            raise SystemExit(f"{words}: {process.returncode}\n{err}")
        return out


def one_round(store: Store, number: int, *, kill: bool) -> Round:
    """Eight processes at once, and what is there afterwards."""
    done, ended = Round(), threading.Event()
    fresh, wide = store.draw(f"fresh-{number}", 2 * number), store.draw(f"wide-{number}", 2 * number + 1)
    store.run("dataset", "add", wide)
    add, append = ("dataset", "add", fresh), ("append", fresh.name)
    embed = ("embed", wide.name, *ENCODER)
    train = ("train", "quickstart", "--dataset", "first", f"name=round-{number}", *TINY)
    caption = ("caption", fresh / "000.png", "--model", "tiny")
    once = [[add, append], [add, append], [embed], [embed], [train], [caption, ("eval", "tiny", "--split", "train", "--metric", "cider")]]
    over = [[("cache", "prune", "--yes"), ("cache", "info"), ("model", "use", "tiny")], [("cache", "verify")]]
    chosen = random.randrange(5) if kill else None
    workers = [threading.Thread(target=_work, args=(store, lines, done, None, place == chosen)) for place, lines in enumerate(once)]
    endless = [threading.Thread(target=_work, args=(store, lines, done, ended, False)) for lines in over]
    for thread in (*workers, *endless):
        thread.start()
    for thread in workers:
        thread.join()
    ended.set()
    for thread in endless:
        thread.join()
    for words in dict.fromkeys(done.again):
        store.run(*words)
    _look(store, done, embed)
    return done


def _work(store: Store, lines: list[tuple[object, ...]], done: Round, until: threading.Event | None, kill: bool) -> None:
    """Type lines one after the other; over and over if there is an `until`."""
    while True:
        for place, words in enumerate(lines):
            process = store.start(*words)
            if kill:
                threading.Timer(random.uniform(0.2, 8.0), process.kill).start()
            _take(words, process, done, killed=kill)
            if process.returncode == -9:  # what comes next may need it
                done.again += lines[place + 1 :]
                return
            if until is not None and until.wait(PAUSE_S):
                return
        if until is None:
            return


def _take(words: tuple[object, ...], process: subprocess.Popen[str], done: Round, *, killed: bool) -> None:
    name = " ".join(str(word) for word in words[:2]) if words[0] in ("dataset", "cache", "model") else str(words[0])
    try:
        _, err = process.communicate(timeout=LIMIT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        done.wrong.append(f"{name} did not end within {LIMIT_S:.0f} s")
        return
    code = process.returncode
    done.ended[name, code] += 1
    done.waited_for += err.count("waiting for process")
    if code and words[0] != "cache":
        done.again.append(words)
    if code == -9 and killed:
        done.killed += 1
    elif code not in (0, 6) or (code == 6 and not BUSY.search(err)) or "Traceback" in err:
        done.wrong.append(f"{name} ended with {code}: {err}")


def _look(store: Store, done: Round, embed: tuple[object, ...]) -> None:
    """Everything has to be there, and nothing else."""
    found = json.loads(store.run("cache", "verify", "--json"))
    again = json.loads(store.run(*embed, "--json"))
    if not found["whole"] or found["without_checksums"]:
        done.wrong.append(f"afterwards the store is not whole: {found}")
    if (again["new"], again["reused"], again["failed"]) != (0, PICTURES, 0):
        done.wrong.append(f"afterwards embeddings are missing: {again}")
    counts = {line["name"]: line["pictures"] for line in json.loads(store.run("dataset", "list", "--json"))}
    if set(counts.values()) != {PICTURES}:
        done.wrong.append(f"afterwards datasets are not as they were: {counts}")
    store.run("cache", "prune", "--yes")
    left = [str(path) for path in store.home.rglob("*") if path.name.endswith((".part", ".aside"))]
    if left:
        done.wrong.append(f"left behind: {left}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--kill", action="store_true", help="kill one process a round")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    random.seed(arguments.seed)
    began, total = time.monotonic(), Round()
    with tempfile.TemporaryDirectory(prefix="clipcap-together-") as folder:
        store = Store(Path(folder))
        store.run("dataset", "add", store.draw("first", 1_000_000))
        store.run("train", "quickstart", "--dataset", "first", "name=tiny", *TINY)
        for number in range(arguments.rounds):
            done = one_round(store, number, kill=arguments.kill)
            total.ended += done.ended
            total.wrong += done.wrong
            total.waited_for += done.waited_for
            total.killed += done.killed
            print("\n".join([f"round {number + 1}: {done.ended.total()} processes, {len(done.wrong)} wrong", *done.wrong]), flush=True)
    print(f"\n{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, {time.monotonic() - began:.0f} s")
    print("| command | ended well | busy, and said who is | killed |\n|---|---|---|---|")
    for name in sorted({name for name, _ in total.ended}):
        print(f"| {name} | {total.ended[name, 0]:,} | {total.ended[name, 6]:,} | {total.ended[name, -9]:,} |")
    print(f"\n{total.ended.total():,} processes in {arguments.rounds} rounds; {total.waited_for} times one said for whom it waits; {len(total.wrong)} wrong")
    if total.wrong:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
