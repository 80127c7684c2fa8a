"""Hashes that are alike, without comparing each with each.

A hash of 64 bits is cut into four bands of 16 (multi-index hashing: Norouzi, Punjani and Fleet, 2012). Two hashes that differ in three bits at most have one
band in common; those that differ in some more mostly have, or have one but for the bit that is the least certain. So hashes are sorted four times, once by
each band, and looked up there.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from clipcap_cli.datasets.duplicates.hashes import BANDS, BITS, Hashes

_WIDTH = BITS // BANDS
# A hash meets at most so many that have the same band, on either side of its place in the order; those have more than the band in common. Of 100,000
# different pictures 208 have a band in common at most, so that this only keeps as many pictures of the same thing from being compared each with each.
_REACH = 250
_AT_ONCE = 1 << 20  # pairs

_ONES = np.array([number.bit_count() for number in range(1 << _WIDTH)], np.uint8)

Rows = NDArray[np.int64]


def alike(seekers: Hashes, doubts: Hashes, entries: Hashes, most_bits: int) -> Iterator[tuple[Rows, Rows]]:
    """Pairs of pictures that have hashes which share a band and differ little.

    Args:
        seekers: the hash by which each picture looks, [pictures].
        doubts: bits of it, one a band, that may as well be the other way, [pictures].
        entries: the hashes by which each is found, [pictures, any number].
        most_bits: how many bits of all may differ.

    Yields:
        Rows of the pictures that look and of those that they find, a part of all at a time; the same pair may come several times, either way round.
    """
    owners = np.repeat(np.arange(len(entries)), entries.shape[1])
    for band in range(BANDS):
        turned = _turn(entries.ravel(), band)
        order = np.argsort(turned, kind="stable")
        table, owner = turned[order], owners[order]
        whole = _turn(seekers, band)
        for looked_up in (whole, whole ^ _turn(doubts, band)):
            for seeker, place in _neighbours(table, looked_up):
                near = (_differing(whole[seeker], table[place]) <= most_bits) & (seeker != owner[place])
                yield seeker[near], owner[place[near]]


def _turn(hashes: Hashes, band: int) -> Hashes:
    """The hashes with one band first, so that they are sorted by it."""
    if band == 0:
        return hashes
    bits = np.uint64(band * _WIDTH)
    return (hashes << bits) | (hashes >> np.uint64(BITS - band * _WIDTH))


def _neighbours(table: Hashes, looked_up: Hashes) -> Iterator[tuple[Rows, Rows]]:
    """For each hash its places in the sorted table where the first band is the same: pairs of the hash's number and a place."""
    rest = np.uint64((1 << (BITS - _WIDTH)) - 1)
    place = np.searchsorted(table, looked_up)
    low = np.maximum(np.searchsorted(table, looked_up & ~rest), place - _REACH)
    high = np.minimum(np.searchsorted(table, looked_up | rest, side="right"), place + _REACH)
    ends = np.cumsum(high - low)
    start = 0
    while start < len(looked_up):
        before = ends[start - 1] if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, before + _AT_ONCE)))
        lengths = (high - low)[start:stop]
        number = np.repeat(np.arange(start, stop), lengths)
        within = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        yield number, low[number] + within
        start = stop


def _differing(first: Hashes, second: Hashes) -> NDArray[np.uint8]:
    """How many bits differ."""
    found: NDArray[np.uint8] = _ONES[(first ^ second).view(np.uint16).reshape(-1, BANDS)].sum(1, dtype=np.uint8)
    return found
