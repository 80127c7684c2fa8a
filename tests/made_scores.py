"""Evaluations made up by hand, for whoever shows them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image as Pillow

from clipcap_cli.datasets.dataset import Image
from clipcap_cli.evaluation.comparison import compare
from clipcap_cli.evaluation.intervals import intervals
from clipcap_cli.evaluation.language import describe
from clipcap_cli.evaluation.metrics.metric import mean_metric
from clipcap_cli.evaluation.scores import Scores, System
from clipcap_cli.storage.hashing import image_id_of

THINGS = ("red apple", "green pear", "yellow banana", "blue plum", "white egg")


def made_images(folder: Path, count: int, size: tuple[int, int] = (40, 30)) -> list[Image]:
    """Pictures of one colour each with two references, as a dataset has them."""
    made = []
    for number in range(count):
        path = folder / f"picture-{number:04d}.png"
        Pillow.new("RGB", size, (number * 37 % 256, number * 11 % 256, 128)).save(path)
        thing = THINGS[number % len(THINGS)]
        references = (f"a {thing} on a table", f"there is a {thing}, number {number}")
        made.append(Image(image_id_of(path.read_bytes()), path, path.name, "test", *size, references))
    return made


def made_scores(images: Sequence[Image], captions: Sequence[str] | None = None, *, name: str = "food", seed: int = 0, warnings: Sequence[str] = ()) -> Scores:
    """Their evaluation with scores that are drawn, CIDEr-D falling from picture to picture; with people and nearest neighbours."""
    captions = captions or [image.captions[0] for image in images]
    falling = np.linspace(3.0, 0.0, len(images)) + seed
    system = _system(name, images, captions, falling, seed)
    neighbours = _system("nearest neighbours", images, [f"a {THINGS[0]}"] * len(images), falling / 2, seed)
    human = _system("human", images, [image.captions[-1] for image in images], falling + 1, seed)
    return Scores(
        name=name,
        run=None,
        recipe=None,
        learned_from=None,
        dataset="shapes",
        version=1,
        split="test",
        images=tuple(images),
        system=system,
        baselines=(human, neighbours),
        language=describe(captions),
        verdict=compare([neighbours.metric("CIDEr-D")], [system.metric("CIDEr-D")], samples=100)[0],
        settings={"tok": "ptb", "idf": "eval", "beam": "5"},
        predictions=Path("predictions.json"),
        left_out=(),
        warnings=tuple(warnings),
    )


def _system(name: str, images: Sequence[Image], captions: Sequence[str], cider: np.ndarray, seed: int) -> System:
    bleu = np.random.default_rng(seed).random(len(images))
    metrics = (mean_metric("BLEU-4", bleu), mean_metric("CIDEr-D", cider))
    return System(name, dict(zip((image.name for image in images), captions, strict=True)), metrics, tuple(intervals(metrics, samples=50)))
