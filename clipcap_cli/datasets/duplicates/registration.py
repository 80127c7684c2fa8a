"""Whether two pictures show the same: they are laid on one another as well as they can be, then compared in their details.

Hashes tell only that light and dark lie alike, as they do in any two pictures of one person under a bright sky. Copies agree in what is left when that is
taken away, and they do so everywhere, not at one strong edge alone. For it to agree, a cropped copy must be laid exactly on its place in the whole.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clipcap_cli.datasets.duplicates.thumbnails import SIDE, Thumbnails, brightness_of, colours_of

# Correlation of the details. Of 500 pictures of Flickr8k one in two hundred of the copies that were cropped by 5 % a side had less than 0.7; the likest of
# 12,846 pairs that hashes find alike and that are not, among 100,000 quarters of its pictures (much of it empty sky), had 0.62, one in a thousand 0.47.
_LEAST_CORRELATION = 0.65

# Mean difference of blueness and redness, in levels of 256. The copies had 12.6 at most; what is drawn alike in other colours (apples, hearts) has over 20.
_MOST_COLOUR = 16.0

_STEPS = 4  # of laying them on one another; more change nothing
_COARSE = 16  # a side, for laying: a crop of 5 % is then less than a pixel
_BLUR = 2.0  # pixels of SIDE: what is coarser is no detail
_SURROUNDINGS = 3.0  # pixels of SIDE, in which the strength of details is made even
_FAINT = 4.0  # levels of 256: details that are fainter are not made even
_NOISE = 0.05  # of what is even
_MOST_SHIFT, _MOST_STRETCH = 0.15, 0.15  # of half a side; of the size

_BATCH = 2_048  # pairs, 20 MB

Floats = NDArray[np.floating[Any]]


@dataclass
class _Fit:
    """Where along one axis the first picture of each pair is looked at to see the second: at shift + stretch * x, with x from -1 to 1. All [pairs]."""

    shift: Floats
    stretch: Floats

    def improve(self, shift: Floats, stretch: Floats) -> None:
        self.shift = np.clip(self.shift + shift, -_MOST_SHIFT, _MOST_SHIFT)
        self.stretch = np.clip(self.stretch + stretch, 1 - _MOST_STRETCH, 1 + _MOST_STRETCH)

    def sampling(self, side: int) -> tuple[Floats, Floats]:
        """How much each pixel of the second has of each of the first, [pairs, side, side], and which lie inside of the first, [pairs, side]."""
        places = (self.shift[:, None] + self.stretch[:, None] * _middles(side) + 1) / 2 * side - 0.5
        inside = (places >= -0.5) & (places <= side - 0.5)
        places = np.clip(places, 0, side - 1)
        weights = np.maximum(0, 1 - np.abs(places[:, :, None] - np.arange(side)))
        return weights.astype(np.float32), inside.astype(np.float32)


def are_same(thumbnails: Thumbnails, first: NDArray[np.int64], second: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which of the pairs of rows are copies of one picture, [pairs]."""
    found = np.zeros(len(first), bool)
    for start in range(0, len(first), _BATCH):
        part = slice(start, start + _BATCH)
        found[part] = _are_same(thumbnails[first[part]], thumbnails[second[part]])
    return found


def _are_same(first: Thumbnails, second: Thumbnails) -> NDArray[np.bool_]:
    colours = np.abs(colours_of(first).astype(np.int16) - colours_of(second)).mean(1)
    details = correlation_of_details(brightness_of(first).astype(np.float32), brightness_of(second).astype(np.float32))
    found: NDArray[np.bool_] = (colours <= _MOST_COLOUR) & (details >= _LEAST_CORRELATION)
    return found


def correlation_of_details(first: Floats, second: Floats) -> Floats:
    """How much the details agree, -1 to 1, when one is laid on the other; both [pairs, SIDE, SIDE]."""
    return np.maximum(_when_laid(first, second), _when_laid(second, first))


def _when_laid(first: Floats, second: Floats) -> Floats:
    across, down = _register(_shrunk(first), _shrunk(second))
    laid, inside = _laid(first, across, down)
    return _correlation(_details(laid), _details(second), inside)


def _register(first: Floats, second: Floats) -> tuple[_Fit, _Fit]:
    """Shift and stretch along both axes that lay the first on the second, whatever their brightness and contrast (Lucas and Kanade, 1981).

    Each step takes the picture for linear in what is looked for, and solves for the least sum of squares.
    """
    pairs, side = len(first), first.shape[1]
    across, down = (_Fit(np.zeros(pairs, np.float32), np.ones(pairs, np.float32)) for _ in range(2))
    middles = _middles(side)
    for _ in range(_STEPS):
        laid, inside = _laid(first, across, down)
        by_x = np.gradient(laid, axis=2) * (side / 2) / across.stretch[:, None, None]
        by_y = np.gradient(laid, axis=1) * (side / 2) / down.stretch[:, None, None]
        slopes = np.stack([by_x, by_x * middles, by_y, by_y * middles[:, None], laid, np.ones_like(laid)], axis=-1) * inside[..., None]
        slopes = slopes.reshape(pairs, side * side, 6)
        transposed = slopes.transpose(0, 2, 1)
        rest = ((second - laid) * inside).reshape(pairs, side * side, 1)
        # What an even picture leaves open is answered by no change.
        normal = (transposed @ slopes).astype(np.float64) + 0.01 * np.eye(6)
        step = np.linalg.solve(normal, (transposed @ rest).astype(np.float64))[..., 0].astype(np.float32)
        across.improve(step[:, 0], step[:, 1])
        down.improve(step[:, 2], step[:, 3])
    return across, down


def _laid(first: Floats, across: _Fit, down: _Fit) -> tuple[Floats, Floats]:
    """The first picture as it lies on the second, and 1 where it has something there, 0 elsewhere."""
    side = first.shape[1]
    horizontal, inside_x = across.sampling(side)
    vertical, inside_y = down.sampling(side)
    return vertical @ first @ horizontal.transpose(0, 2, 1), inside_y[:, :, None] * inside_x[:, None, :]


def _correlation(first: Floats, second: Floats, inside: Floats) -> Floats:
    """Pearson's, of the pixels inside."""
    pixels = np.maximum(inside.sum((1, 2), keepdims=True), 1)
    first = (first - (first * inside).sum((1, 2), keepdims=True) / pixels) * inside
    second = (second - (second * inside).sum((1, 2), keepdims=True) / pixels) * inside
    noise = _NOISE * pixels[:, 0, 0]
    found: Floats = (first * second).sum((1, 2)) / np.sqrt(((first**2).sum((1, 2)) + noise) * ((second**2).sum((1, 2)) + noise))
    return found


def _shrunk(pictures: Floats) -> Floats:
    step = SIDE // _COARSE
    shrunk: Floats = pictures.reshape(-1, _COARSE, step, _COARSE, step).mean((2, 4))
    return shrunk


def _details(pictures: Floats) -> Floats:
    """What is finer than a blur, and equally strong everywhere."""
    fine = pictures - _blurred(pictures, _BLUR)
    details: Floats = fine / np.sqrt(_blurred(fine**2, _SURROUNDINGS) + _FAINT**2)
    return details


def _blurred(pictures: Floats, width: float) -> Floats:
    blurred: Floats = _blur(width) @ pictures @ _blur(width).T
    return blurred


@cache
def _blur(width: float) -> Floats:
    """[SIDE, SIDE]"""
    pixels = np.arange(SIDE)
    weights = np.exp(-0.5 * ((pixels[:, None] - pixels) / width) ** 2)
    blur: Floats = (weights / weights.sum(1, keepdims=True)).astype(np.float32)
    return blur


def _middles(side: int) -> Floats:
    """Where the middles of pixels lie, from -1 to 1."""
    return ((np.arange(side, dtype=np.float32) + 0.5) / side * 2 - 1).astype(np.float32)
