"""What the page knows of each picture, as plain values: what was said of it, what people say, and how that was scored."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from clipcap_cli.evaluation.metrics.metric import Metric
from clipcap_cli.evaluation.metrics.tokenizer import tokenize
from clipcap_cli.evaluation.scores import Scores, System

SHOWN = 6  # pictures in each of the groups that are shown without a script
_DIGITS = 6

Card = dict[str, Any]


def cards(scores: Scores, neighbours: System | None, other: Scores | None) -> list[Card]:
    """A card of each picture, in the order of `scores.images`.

    Args:
        neighbours: what the nearest training pictures say.
        other: scores of the same pictures in the same order by the same metrics, which these have changed from.
    """
    captions = [scores.system.captions[image.name] for image in scores.images]
    tokenized = tokenize(captions)
    times = Counter(tokenized)
    own = _by_picture(scores.system.metrics)
    before = _by_picture(other.system.metrics) if other else []
    return [
        {
            "name": image.name,
            "caption": caption,
            "references": list(image.captions),
            "scores": own[number],
            "times": times[tokens],
            "neighbour": neighbours.captions.get(image.name) if neighbours else None,
            "other": {"caption": other.system.captions[image.name], "scores": before[number]} if other else None,
        }
        for number, (image, caption, tokens) in enumerate(zip(scores.images, captions, tokenized, strict=True))
    ]


def best_median_worst(metric: Metric) -> list[tuple[str, list[int]]]:
    """Which pictures are shown first: of few, all; else the best, those in the middle, and the worst, by their rows."""
    order = [int(row) for row in np.argsort(-np.nan_to_num(metric.per_image), kind="stable")]
    if len(order) <= 3 * SHOWN:
        return [("From the best to the worst", order)]
    middle = (len(order) - SHOWN) // 2
    return [("Best", order[:SHOWN]), ("In the middle", order[middle : middle + SHOWN]), ("Worst", order[: -SHOWN - 1 : -1])]


def _by_picture(metrics: Sequence[Metric]) -> list[list[float | None]]:
    """The scores of each picture [pictures][metrics]; JSON knows no infinities."""
    table = np.stack([metric.per_image for metric in metrics], 1).tolist()
    return [[round(value, _DIGITS) if math.isfinite(value) else None for value in row] for row in table]
