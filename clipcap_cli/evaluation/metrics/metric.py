"""A metric that was computed: a score of each picture, and the score of them all as a function of sums over pictures.

That form is what lets one resample pictures: a sample is a row of weights, all samples are one matrix product.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Metric:
    """One metric of one set of captions.

    Attributes:
        name: as it is printed: "BLEU-4", "CIDEr-D".
        per_image: the score of each picture [pictures].
        rows: what is added up over pictures [pictures, terms].
        of_sums: from sums [..., terms] to scores [...].
    """

    name: str
    per_image: Floats
    rows: Floats
    of_sums: Callable[[Floats], Floats]

    @property
    def score(self) -> float:
        """Of all pictures."""
        return float(self.of_sums(self.rows.sum(0)))


def summed(where: NDArray[np.int64], values: NDArray[Any], size: int) -> Floats:
    """The sum of the values that belong to each of `size` places [size]."""
    # Of nothing, numpy's own sum comes as integers.
    return np.asarray(np.bincount(where, values, minlength=size), np.float64)


def mean_metric(name: str, per_image: Floats) -> Metric:
    """A metric whose score is the mean of its pictures' scores."""
    rows = np.stack([per_image, np.ones_like(per_image)], 1)
    return Metric(name, per_image, rows, lambda sums: sums[..., 0] / np.maximum(sums[..., 1], 1e-300))
