"""Whether two sets of captions of the same pictures really differ, and where.

Two tests that need no assumption about how scores are spread: the paired bootstrap (Koehn 2004) gives the interval of the difference, approximate
randomisation (Riezler and Maxwell 2005) the probability of a difference as large if it did not matter who wrote which caption. A difference counts as real
when both agree, at 5 % shared out over the metrics that are compared (Holm 1979): who looks at seven metrics must not find one by chance.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from clipcap_cli.errors import InputError
from clipcap_cli.evaluation.intervals import LEVEL, Interval, resampled
from clipcap_cli.evaluation.metrics.metric import Metric

SAMPLES = 10_000  # p-values near 5 % over seven metrics need more than an interval does
_AT_ONCE = 4_000_000


@dataclass(frozen=True)
class Difference:
    """How much another score is higher.

    Attributes:
        name: of the metric.
        first, second: the scores.
        interval: of second - first.
        p: probability of a difference as large by chance (approximate randomisation).
        is_real: whether both tests say so, at 5 % over all metrics together.
    """

    name: str
    first: float
    second: float
    interval: Interval
    p: float
    is_real: bool

    @property
    def difference(self) -> float:
        """How much the second is higher."""
        return self.second - self.first


def compare(first: Sequence[Metric], second: Sequence[Metric], *, samples: int = SAMPLES, seed: int = 0) -> list[Difference]:
    """Compare metric by metric.

    Args:
        first, second: the same metrics of the same pictures in the same order.

    Raises:
        InputError: they are not of the same pictures.
    """
    if any(len(one.rows) != len(other.rows) or one.name != other.name for one, other in zip(first, second, strict=True)):
        raise InputError("only scores of the same pictures by the same metrics can be compared")
    ours, theirs = resampled(first, samples=samples, seed=seed), resampled(second, samples=samples, seed=seed)
    tail = (1 - LEVEL) / 2
    spreads = [np.quantile(other - one, [tail, 1 - tail]) for one, other in zip(ours, theirs, strict=True)]
    probabilities = [_randomisation(one, other, samples, seed) for one, other in zip(first, second, strict=True)]
    significant = _holm(probabilities, 1 - LEVEL)
    return [
        Difference(one.name, one.score, other.score, Interval(float(low), float(high)), p, bool(real and not low <= 0 <= high))
        for one, other, (low, high), p, real in zip(first, second, spreads, probabilities, significant, strict=True)
    ]


def most_changed(first: Metric, second: Metric) -> list[tuple[int, float]]:
    """(picture, how much the second is higher) for every picture where they differ, the greatest difference first."""
    change = second.per_image - first.per_image
    order = np.argsort(-np.abs(change), kind="stable")
    return [(int(picture), float(change[picture])) for picture in order if change[picture]]


def _randomisation(first: Metric, second: Metric, samples: int, seed: int) -> float:
    """The share of random exchanges of captions between the two that make a difference as large as the one there is."""
    observed = abs(second.score - first.score)
    change = second.rows - first.rows
    if not change.any():
        return 1.0
    generator = np.random.default_rng([seed, 1])
    pictures, as_large = len(change), 0
    at_once = max(1, _AT_ONCE // pictures)
    for start in range(0, samples, at_once):
        exchanged = generator.integers(0, 2, (min(at_once, samples - start), pictures), dtype=np.int8).astype(np.float64) @ change
        difference = second.of_sums(second.rows.sum(0) - exchanged) - first.of_sums(first.rows.sum(0) + exchanged)
        as_large += int((np.abs(difference) >= observed - 1e-12).sum())
    return (as_large + 1) / (samples + 1)


def _holm(probabilities: Sequence[float], alpha: float) -> list[bool]:
    """Which of several are significant together: the smallest must pass alpha / all, the next alpha / (all - 1), … until one fails."""
    found = [False] * len(probabilities)
    for rank, place in enumerate(np.argsort(probabilities, kind="stable")):
        if probabilities[place] > alpha / (len(probabilities) - rank):
            break
        found[place] = True
    return found
