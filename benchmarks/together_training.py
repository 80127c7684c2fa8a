"""What two processes that train together are worth, and what happens when they die.

    python benchmarks/together_training.py [--rounds 3] [--steps 60]     tokens/s of one and of two processes on the CPU, one thread each, in turns
    python benchmarks/together_training.py --kills 20                    kill a process at any time, go on with 1 to 3, compare with a run that nobody disturbed

Both need a store with the dataset `food` (`clipcap dataset add examples/food`, CLIPCAP_HOME); runs are made in it and removed again. The recipe is the
quickstart's, in fp32 and without dropout. Tokens/s are those of metrics.jsonl, validations and starting left out. The last lines say what one and two threads
of a matrix product come to, and two processes of it at once: on a machine whose two cores are one core's two threads, two processes cannot be worth two.
"""

from __future__ import annotations

import argparse
import itertools
import os
import platform
import random
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from clipcap_cli.storage.home import open_home
from clipcap_cli.training.runs import list_checkpoints, open_run, remove_run

RECIPE = ("quickstart", "train.precision=fp32", "train.dropout=0")
GENTLE = ("train.lr=1e-4", "train.lm_lr=1e-5")  # Adam makes steps of the rate's size of gradients that are nothing but rounding
PRODUCTS = """
import time, torch
torch.set_num_threads({threads})
matrix = torch.randn(768, 768)
for number in range(170):
    if number == 20:
        began = time.perf_counter()
    matrix @ matrix
print(150 / (time.perf_counter() - began))
"""
# As many processes as one likes: `--devices` allows no more than there are cores.
LAUNCH = """
import sys
from clipcap_cli.cli.failures import report
from clipcap_cli.training.launching import launch
try:
    code = launch(sys.argv[1:], {processes})
except Exception as error:
    code = report(error, arguments=[], home=None, debug=False, kept="")
sys.exit(code)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--kills", type=int, default=0, help="instead: so many kills")
    parser.add_argument("--seed", type=int, default=0, help="who is killed, and when")
    arguments = parser.parse_args()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    print(f"{platform.system()} {platform.machine()}, {cores} cores, Python {platform.python_version()}\n")
    if arguments.kills:
        sys.exit(1 if wrong_after_kills(arguments.kills, arguments.steps, arguments.seed) else 0)
    measure(arguments.rounds, arguments.steps)


def measure(rounds: int, steps: int) -> None:
    """Print tokens/s of both sides, and what the machine's cores are worth."""
    found: dict[int, list[float]] = {1: [], 2: []}
    for _ in range(rounds):
        for processes, rates in found.items():
            rates.append(tokens_per_s(processes, steps))
    print("| processes | tokens learned a second, median (min to max) |\n|---|---|")
    for processes, rates in found.items():
        print(f"| {processes} | {statistics.median(rates):,.0f} ({min(rates):,.0f} to {max(rates):,.0f}) |")
    ratios = [two / one for one, two in zip(*found.values(), strict=True)]
    print(f"\ntwo against one: {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}); the bar is 1.5")
    one, two, (left, right) = products(1)[0], products(2)[0], products(1, 1)
    print(f"of a matrix product, against one thread: two threads {two / one:.2f}, two processes at once {(left + right) / one:.2f}")


def tokens_per_s(processes: int, steps: int) -> float:
    """Of a training, its first lines of metrics left out."""
    name = f"benchmark-{os.getpid()}"
    trained(processes, "train", *RECIPE, f"train.steps={steps}", f"train.validate_every={steps}", "decode.max_tokens=4", f"name={name}")
    run = open_run(name)
    rates = [line["tokens_per_s"] for line in run.metrics() if "tokens_per_s" in line]
    remove_run(open_home(), name)
    return statistics.median(rates[1:])


def products(*threads: int) -> list[float]:
    """Matrix products a second of processes at once."""
    with ThreadPoolExecutor(len(threads)) as pool:
        lines = [[sys.executable, "-c", PRODUCTS.format(threads=number)] for number in threads]
        return [float(done.stdout) for done in pool.map(lambda line: subprocess.run(line, capture_output=True, text=True, check=True), lines)]


def trained(processes: int, *arguments: str) -> None:
    """A training that comes to its end."""
    line = [sys.executable, "-m", "clipcap_cli", *arguments, "--devices", str(processes)]
    done = subprocess.run(line, env=environment(), capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stderr)


def environment() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1"}


def wrong_after_kills(kills: int, steps: int, seed: int) -> int:
    """Kill a process of a training again and again, go on each time, and compare what comes out; print and return what was wrong."""
    chance, wrong, done, waits, names = random.Random(seed), 0, 0, [], itertools.count(1)
    arguments = (*RECIPE, *GENTLE, f"train.steps={steps}", f"train.validate_every={steps // 2}")
    trained(1, "train", *arguments, "name=undisturbed")
    while done < kills:
        name = f"disturbed-{next(names)}"
        line: Sequence[str] = ("train", *arguments, f"name={name}")
        while True:
            processes = chance.choice([2, 2, 3])
            if done >= kills:
                trained(1, *line)
                break
            code, waited, said = killed(line, processes, chance.randrange(processes), 6 + 20 * chance.random())
            if code == 0:
                break
            done += 1
            waits.append(waited)
            left = list_checkpoints(open_run(name)) if "is kept as it was at step" in said and "step 0;" not in said else [None]
            if code != 7 or waited > 30 or said.count("Error") != 1 or not left:
                wrong += 1
                print(f"kill {done}: exit {code} after {waited:.0f} s, {len(left)} checkpoints\n{said}")
            begun = (open_home().runs / name / "run.json").exists()
            line = ("train", name, "--resume") if begun else line
        apart = distance(name, "undisturbed")
        wrong += apart > 1e-5
        print(f"{name}: {done} kills so far, losses differ by {apart:.1e} at most")
        remove_run(open_home(), name)
    remove_run(open_home(), "undisturbed")
    print(f"\n{done} kills; lost or wrong: {wrong}; all ended after {statistics.median(waits):.1f} s ({max(waits):.1f} at most)")
    return wrong


def killed(arguments: Sequence[str], processes: int, rank: int, after_s: float) -> tuple[int, float, str]:
    """Start a training in several processes, and kill one; the exit code, seconds to the end, what was said."""
    line = [sys.executable, "-c", LAUNCH.format(processes=processes), *arguments]
    running = subprocess.Popen(line, env=environment(), text=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        _, said = running.communicate(timeout=after_s)
        return running.returncode, 0.0, said
    except subprocess.TimeoutExpired:
        for child in children(running.pid):
            if f"RANK={rank}" in (Path("/proc") / str(child) / "environ").read_text().split("\0"):
                os.kill(child, signal.SIGKILL)
        began = time.monotonic()
        _, said = running.communicate()
        return running.returncode, time.monotonic() - began, said


def children(parent: int) -> list[int]:
    return [int(child) for child in (Path("/proc") / str(parent) / "task" / str(parent) / "children").read_text().split()]


def distance(name: str, other: str) -> float:
    """The largest difference between the losses of two runs."""
    losses = [[line["loss"] if "loss" in line else line["val_loss"] for line in open_run(run).metrics()] for run in (name, other)]
    return max(abs(one - two) for one, two in zip(*losses, strict=True))


if __name__ == "__main__":
    main()
