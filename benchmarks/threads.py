"""Training steps a second with OpenMP's own waiting and with the shorter spin that clipcap asks for, on a quiet machine and beside another program.

    python benchmarks/threads.py [--steps 60] [--rounds 3]

A step tunes builtin:nano (bf16 where the machine has it) on 64 synthetic captions. Each figure is a process of its own; the four kinds take turns, so that a
change of the machine's speed hits all of them.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import subprocess
import sys
import time

BUSY = "while True: pass"
LIBRARYS, OURS = "", "10000"  # values of GOMP_SPINCOUNT; clipcap_cli/cli/main.py sets ours


def steps_per_second(steps: int) -> float:
    import numpy as np
    import pyarrow as pa
    import torch

    from clipcap_cli.captioner.lm_loading import load_language_model
    from clipcap_cli.captioner.mappers import Preparation, build_mapper
    from clipcap_cli.encoders.precision import choose_precision
    from clipcap_cli.training.batches import make_batch
    from clipcap_cli.training.objective import caption_loss
    from clipcap_cli.training.samples import Samples

    generator = np.random.default_rng(0)
    lengths = np.full(64, 13)
    samples = Samples(
        embeddings=generator.normal(size=(64, 1280)).astype(np.float32),
        rows=np.arange(64),
        captions=pa.array([" ".join(map(str, generator.integers(0, 8000, length))) for length in lengths]),
        lengths=lengths,
        measured=True,
        tokens_of=lambda texts: [[int(number) for number in text.split()] for text in texts],
        mean_tokens=float(lengths.mean()),
        cut=0,
    )
    language_model = load_language_model("builtin:nano").requires_grad_(True)
    mapper = build_mapper("mlp", embedding_size=1280, lm_width=language_model.width, prefix_length=8)
    preparation = Preparation(normalize=True)
    batch = make_batch(samples, np.arange(64), 8)
    optimizer = torch.optim.AdamW([*mapper.parameters(), *language_model.parameters()], fused=True)
    bf16 = choose_precision("auto", torch.device("cpu"))[0] == "bf16"
    began = 0.0
    for step in range(steps + 5):
        if step == 5:
            began = time.monotonic()
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            loss = caption_loss(batch, preparation, mapper, language_model)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    return steps / (time.monotonic() - began)


def measure(spin: str, beside: bool, steps: int) -> float:
    other = subprocess.Popen([sys.executable, "-c", BUSY]) if beside else None
    try:
        environment = {**os.environ, **({"GOMP_SPINCOUNT": spin} if spin else {})}
        line = [sys.executable, __file__, "--one", "--steps", str(steps)]
        return float(subprocess.run(line, env=environment, check=True, capture_output=True, text=True).stdout)
    finally:
        if other:
            other.kill()
            other.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        print(steps_per_second(args.steps))
        return
    kinds = [(spin, beside) for beside in (False, True) for spin in (LIBRARYS, OURS)]
    found: dict[tuple[str, bool], list[float]] = {kind: [] for kind in kinds}
    for _ in range(args.rounds):
        for kind in kinds:
            found[kind].append(measure(*kind, args.steps))
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, {args.rounds} rounds of {args.steps} steps\n")
    print("| beside | library's choice, steps/s | clipcap's, steps/s | ratio, median (min to max) |")
    print("|---|---|---|---|")
    for beside, label in ((False, "nothing"), (True, "one busy program")):
        library, ours = found[LIBRARYS, beside], found[OURS, beside]
        ratios = [b / a for a, b in zip(library, ours, strict=True)]
        print(
            f"| {label} | {statistics.median(library):.2f} | {statistics.median(ours):.2f} "
            f"| {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}) |"
        )


if __name__ == "__main__":
    main()
