"""What each choice of the Flickr8k recipe is worth, at equal minutes of training.

    python benchmarks/ablation.py FLICKR8K --output ablation [--minutes 5] [--seeds 0 1] [--only noise-0 lora]

FLICKR8K is the data set's folder. Every choice is `recipes/flickr8k.yaml` with one thing changed. How many steps it gets is worked out once, by a short trial
of each choice, and kept in OUTPUT/steps-MINUTES.json: all get the steps of equal minutes of one thread, each with a whole schedule, whatever else the machine
does. Writes OUTPUT/CHOICE-SEED.jsonl, the captions of the validation pictures (beam 5), and goes on where it was stopped; then prints their scores.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from shapes import machine, spread_of, table

import clipcap_cli as clipcap
from clipcap_cli.captioner.bundle import load_bundle
from clipcap_cli.embeddings.store import open_store
from clipcap_cli.encoders.registry import load_encoder
from clipcap_cli.evaluation.metrics.corpus import make_corpus
from clipcap_cli.evaluation.metrics.overlap import overlap_metrics
from clipcap_cli.events import Advanced, Listener, silent
from clipcap_cli.storage.home import open_home

ENCODER = "efficientnet-lite0"
_TRIAL_STEPS = 60
CHOICES: dict[str, dict[str, Any]] = {
    "recipe": {},
    "objective-original": {"train.objective": "original", "train.warmup": 0.06, "train.label_smoothing": 0.0, "decode.stop": " ."},
    "not-normalised": {"encoder.normalize": False},
    "not-standardised": {"encoder.standardize": False, "encoder.noise": 0.0},
    "noise-0": {"encoder.noise": 0.0},
    "noise-0.016": {"encoder.noise": 0.016},
    "frozen": {"language_model.tune": "frozen"},
    "lora": {"language_model.tune": "lora", "train.lm_lr": 2.0e-3},
    "transformer": {"mapper.kind": "transformer", "mapper.clip_length": 8, "mapper.layers": 4, "mapper.heads": 8, "train.lr": 3.0e-4},
}


def train(settings: dict[str, Any], events: Listener = silent) -> clipcap.Run:
    run = clipcap.train("flickr8k", {"train.validate_every": 100_000, "train.max_minutes": None, "train.patience": None, **settings}, events=events)
    if run.info.status == "stopped":
        raise KeyboardInterrupt
    return run


def steps_for(settings: dict[str, Any], minutes: float) -> int:
    """How many steps fit into the minutes, by the processor's time of a trial: what else the machine does counts little there."""
    ticks: list[float] = []

    def heard(event: object) -> None:
        if isinstance(event, Advanced) and event.task == "train":
            ticks.append(time.process_time())

    train({**settings, "train.steps": _TRIAL_STEPS, "dataset.val": None, "name": "trial"}, heard)
    counted = ticks[_TRIAL_STEPS // 4 :]
    return round(minutes * 60 * (len(counted) - 1) / (counted[-1] - counted[0]))


def planned_steps(choices: Sequence[str], minutes: float, folder: Path) -> dict[str, int]:
    """The steps of each choice, those that were worked out before and those that were missing."""
    path = folder / f"steps-{minutes:g}.json"

    def known() -> dict[str, int]:
        return json.loads(path.read_text()) if path.exists() else {}

    before = known()
    missing = {choice: steps_for(CHOICES[choice], minutes) for choice in choices if choice not in before}
    steps = {**known(), **missing}  # another process may have added its own meanwhile
    path.write_text(json.dumps(steps, indent=2))
    return steps


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("flickr8k", type=Path)
    parser.add_argument("--output", type=Path, default=Path("ablation"))
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--only", nargs="+", choices=CHOICES, default=list(CHOICES))
    asked = parser.parse_args()
    torch.set_num_threads(1)
    print(machine(), flush=True)
    asked.output.mkdir(exist_ok=True)
    dataset = clipcap.add_dataset(asked.flickr8k, name="flickr8k")
    clipcap.embed(dataset, encoder=ENCODER)
    images = dataset.images("val")
    store = open_store(open_home(), load_encoder(ENCODER))
    embeddings = store.gather([image.image_id for image in images])
    steps = planned_steps(asked.only, asked.minutes, asked.output)
    for seed in asked.seeds:
        for choice in asked.only:
            path = asked.output / f"{choice}-{seed}.jsonl"
            if path.exists():
                continue
            run = train({**CHOICES[choice], "seed": seed, "train.steps": steps[choice], "name": choice})
            captioner = load_bundle(run.path / "last")
            lines = [
                {"image": image.name, "caption": caption.text, "references": image.captions}
                for image, caption in zip(images, captioner.caption_embeddings(embeddings), strict=True)
            ]
            head = {
                "choice": choice,
                "seed": seed,
                "steps": run.info.steps,
                "minutes": run.info.minutes,
                "val_loss": run.info.best_loss,
            }
            path.write_text("\n".join(json.dumps(line) for line in [head, *lines]) + "\n")
            print(head, flush=True)
    report(asked.output)


def report(folder: Path) -> None:
    """The table of all that was trained."""
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for path in sorted(folder.glob("*.jsonl")):
        head, *lines = (json.loads(line) for line in path.read_text().splitlines())
        found[head["choice"]].append({**head, **scores_of(lines)})
    rows = []
    for choice in CHOICES:
        runs = found.get(choice, [])
        if runs:
            cells = [spread_of([run[key] for run in runs], 3) for key in ("CIDEr-D", "BLEU-4", "val_loss")]
            rows.append((choice, *cells, runs[0]["steps"], len(runs)))
    table(("choice", "CIDEr-D, median (least to greatest)", "BLEU-4", "validation loss", "steps", "seeds"), rows)


def scores_of(lines: list[dict[str, Any]]) -> dict[str, float]:
    """All scores of one training's captions."""
    references = {line["image"]: line["references"] for line in lines}
    metrics = overlap_metrics(make_corpus(references, {line["image"]: line["caption"] for line in lines}))
    return {metric.name: metric.score for metric in metrics}


if __name__ == "__main__":
    os.environ.setdefault("CLIPCAP_OFFLINE", "1")
    main()
