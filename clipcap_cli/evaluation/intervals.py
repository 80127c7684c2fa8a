"""How sure a score is: what it would be for other pictures of the same kind.

The pictures are drawn again with replacement, a thousand times, and the middle 95 % of the scores are the interval (percentile bootstrap; Efron and
Tibshirani 1993, chapter 13). Corpus scores are computed from each sample's own sums: BLEU is that of the sample, not a mean. The document frequencies of
CIDEr stay those of the whole set: in a sample with repeated pictures fewer words would be rare, and all scores would come out too low.
benchmarks/coverage.py checks that the intervals hold.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from clipcap_cli.evaluation.metrics.metric import Floats, Metric

SAMPLES = 1000
LEVEL = 0.95
_AT_ONCE = 4_000_000  # weights of samples in memory (32 MB)


@dataclass(frozen=True)
class Interval:
    """Where a score lies with a probability of 95 %."""

    low: float
    high: float


def intervals(metrics: Sequence[Metric], *, samples: int = SAMPLES, level: float = LEVEL, seed: int = 0) -> list[Interval]:
    """The interval of each metric; all of them see the same samples.

    Args:
        metrics: of the same pictures.
        samples: how often pictures are drawn.
        level: probability that an interval holds the true score.
        seed: of what is drawn.
    """
    return [_middle(scores, level) for scores in resampled(metrics, samples=samples, seed=seed)]


def resampled(metrics: Sequence[Metric], *, samples: int = SAMPLES, seed: int = 0) -> list[Floats]:
    """The scores of each metric in samples of the pictures [samples]."""
    if not metrics:
        return []
    rows = np.concatenate([metric.rows for metric in metrics], 1)
    sums = np.concatenate([weights @ rows for weights in _draws(len(rows), samples, seed)])
    ends = np.cumsum([metric.rows.shape[1] for metric in metrics])
    return [np.asarray(metric.of_sums(part)) for metric, part in zip(metrics, np.split(sums, ends[:-1], axis=1), strict=True)]


def _draws(pictures: int, samples: int, seed: int) -> Iterator[Floats]:
    """How often each picture is in each sample, [some samples, pictures] at a time."""
    generator = np.random.default_rng(seed)
    at_once = max(1, _AT_ONCE // pictures)
    for start in range(0, samples, at_once):
        count = min(at_once, samples - start)
        drawn = generator.integers(0, pictures, (count, pictures)) + np.arange(count)[:, None] * pictures
        yield np.bincount(drawn.ravel(), minlength=count * pictures).reshape(count, pictures).astype(np.float64)


def _middle(scores: Floats, level: float) -> Interval:
    low, high = np.quantile(scores, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(low), float(high))
