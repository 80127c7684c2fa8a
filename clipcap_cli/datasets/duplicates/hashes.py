"""Perceptual hashes: 64 bits of a picture that stay the same, but for a few, when it is resized, compressed or brightened.

Each bit is the sign of one of the 64 slowest waves in the picture's brightness (the discrete cosine transform, as in pHash). A crop moves the waves, so a
picture is hashed as a whole and as its most usual crops would be; a cropped copy is then found by its own whole. Everything, the crops too, is linear in the
pixels of the thumbnail: all hashes of a thousand pictures are one product of two matrices.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from clipcap_cli.datasets.duplicates.thumbnails import SIDE, Thumbnails, brightness_of

BITS = 64
BANDS = 4  # of 16 bits; by one of them pictures are looked up

# What is cut off at the left, top, right and bottom. Any crop of up to 5 % a side is near one of these: 99.8 % of random ones share a band with it or with
# the doubted bit of it turned, and differ in at most 9 bits (500 pictures of Flickr8k).
CROPS = (
    (0.0, 0.0, 0.0, 0.0),
    *((part, part, part, part) for part in (0.025, 0.05)),
    *((0.04, 0.04, 0.0, 0.0), (0.0, 0.04, 0.04, 0.0), (0.04, 0.0, 0.0, 0.04), (0.0, 0.0, 0.04, 0.04)),
    *((0.04, 0.0, 0.04, 0.0), (0.0, 0.04, 0.0, 0.04)),
)
_SAMPLES = 32  # a side of a crop, before it is transformed
_BATCH = 4_096  # pictures: 9 crops of 64 waves each are 9 MB

Hashes = NDArray[np.uint64]


@dataclass(frozen=True)
class PictureHashes:
    """The hashes of pictures.

    Attributes:
        wholes: of the whole picture, [pictures].
        doubts: in each band the one bit that is the least certain, [pictures].
        crops: of the whole picture and its crops, [pictures, len(CROPS)].
    """

    wholes: Hashes
    doubts: Hashes
    crops: Hashes


def hash_pictures(thumbnails: Thumbnails) -> PictureHashes:
    """Hash pictures by their thumbnails."""
    waves, radii = _waves()
    crops = np.empty((len(thumbnails), len(CROPS)), np.uint64)
    doubts = np.empty(len(thumbnails), np.uint64)
    for start in range(0, len(thumbnails), _BATCH):
        part = slice(start, start + _BATCH)
        pixels = brightness_of(thumbnails[part]).reshape(-1, SIDE * SIDE).astype(np.float32)
        found = (pixels @ waves).reshape(-1, len(CROPS), BITS)
        crops[part] = pack(found > 0)
        doubts[part] = least_certain(np.abs(found[:, 0]) * radii)
    return PictureHashes(crops[:, 0].copy(), doubts, crops)


def pack(bits: NDArray[np.bool_]) -> Hashes:
    """Hashes [...] of bits [..., BITS]; the bits of a band lie together."""
    packed: Hashes = np.packbits(bits, axis=-1, bitorder="little").view(np.uint64)[..., 0]
    return packed


def least_certain(sizes: NDArray[np.floating]) -> Hashes:
    """Hashes in which only the bits are set that are the smallest of their bands, of sizes [pictures, BITS]."""
    by_band = sizes.reshape(len(sizes), BANDS, -1)
    smallest = np.arange(by_band.shape[2]) == by_band.argmin(2, keepdims=True)
    return pack(smallest.reshape(len(sizes), BITS))


@cache
def _waves() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """How much of each wave of each crop a pixel has, [SIDE * SIDE, len(CROPS) * BITS], and the frequency of each wave, [BITS].

    In pictures of the world a wave is the smaller the higher its frequency, so their product tells how certain a bit is.
    """
    several = range(_SAMPLES // 2)
    slowest = sorted(((down, across) for down in several for across in several if down or across), key=lambda wave: (wave[0] ** 2 + wave[1] ** 2, wave))
    # Each band gets slow and fast waves alike.
    chosen = [slowest[:BITS][place] for band in range(BANDS) for place in range(band, BITS, BANDS)]
    down, across = np.array(chosen).T
    columns = []
    for left, top, right, bottom in CROPS:
        vertical, horizontal = _cosines() @ _cut(top, bottom), _cosines() @ _cut(left, right)  # [frequencies, SIDE]
        columns.append(np.einsum("wi,wj->ijw", vertical[down], horizontal[across]).reshape(SIDE * SIDE, BITS))
    return np.concatenate(columns, axis=1).astype(np.float32), np.hypot(down, across).astype(np.float32)


def _cosines() -> NDArray[np.float64]:
    """[frequencies, _SAMPLES]"""
    middles = (np.arange(_SAMPLES) + 0.5) / _SAMPLES
    return np.cos(np.pi * np.arange(_SAMPLES // 2)[:, None] * middles)


def _cut(before: float, after: float) -> NDArray[np.float64]:
    """What each of the _SAMPLES of a crop takes from the SIDE pixels of the whole, [_SAMPLES, SIDE]."""
    edges = np.linspace(before, 1 - after, _SAMPLES + 1)[:, None] * SIDE
    pixels = np.arange(SIDE)
    overlaps = np.maximum(0, np.minimum(edges[1:], pixels + 1) - np.maximum(edges[:-1], pixels))
    shares: NDArray[np.float64] = overlaps / overlaps.sum(1, keepdims=True)
    return shares
