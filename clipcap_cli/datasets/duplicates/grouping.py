"""Groups of pictures that are nearly the same."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from clipcap_cli.datasets.duplicates.hashes import hash_pictures
from clipcap_cli.datasets.duplicates.lookup import Rows, alike
from clipcap_cli.datasets.duplicates.registration import are_same
from clipcap_cli.datasets.duplicates.thumbnails import LENGTH, Thumbnails, are_flat
from clipcap_cli.datasets.duplicates.vectors import Vectors, same_direction
from clipcap_cli.events import Advanced, Finished, Listener, Started, silent

TASK = "compare"

# Copies differ in nine bits of 64 at most (see `hashes.CROPS`); of 7,000 pictures of Flickr8k 88 pairs differ in no more than ten, and 4,202 in fourteen.
_MOST_BITS = 10
_WAITING = 1 << 20  # pairs that wait to be compared; the same pair is often found again soon

Group = tuple[str, ...]
Embeddings = tuple[Sequence[str], Vectors]


def near_duplicates(ids: Sequence[str], thumbnails: Thumbnails, embeddings: Embeddings | None = None, *, events: Listener = silent) -> list[Group]:
    """Groups of pictures that are copies of one another, or of a third.

    Args:
        ids: of the pictures, each once.
        thumbnails: theirs, [pictures, LENGTH]. Pictures of one colour all over are in no group: they are all alike.
        embeddings: ids and vectors [those, embedding_size] by one encoder, where they exist; pictures with nearly the same vector are in one group too.

    Returns:
        Groups of two ids and more, each sorted, in the order of their first ids. The order in which the pictures are given does not matter.
    """
    vectors_of = dict(zip(embeddings[0], range(len(embeddings[0])), strict=True)) if embeddings else {}
    names = sorted({*ids, *vectors_of})
    place = {name: row for row, name in enumerate(names)}
    pictures = np.array([place[name] for name in ids], np.int64)
    aligned = np.zeros((len(names), LENGTH), np.uint8)
    aligned[pictures] = thumbnails
    flat = np.zeros(len(names), bool)
    flat[pictures] = are_flat(thumbnails)
    groups = _Groups(len(names))
    events(Started(TASK, None, "pairs"))
    try:
        _join_copies(groups, aligned, np.sort(pictures[~flat[pictures]]), events)
        if embeddings is not None:
            chosen = np.array([row for row, name in enumerate(names) if name in vectors_of and not flat[row]], np.int64)
            vectors = np.asarray(embeddings[1], np.float32)[[vectors_of[names[row]] for row in chosen]]
            usable = np.isfinite(vectors).all(axis=1)
            chosen = chosen[usable]
            for first, second in same_direction(vectors[usable]):
                groups.join(chosen[first], chosen[second])
    finally:
        events(Finished(TASK))
    return [tuple(names[row] for row in rows) for rows in groups.of_several()]


def _join_copies(groups: _Groups, thumbnails: Thumbnails, rows: Rows, events: Listener) -> None:
    """Join those of these rows that are copies."""
    hashes = hash_pictures(thumbnails)
    pairs = alike(hashes.wholes[rows], hashes.doubts[rows], hashes.crops[rows], _MOST_BITS)
    for first, second in _each_once(((rows[seekers], rows[found]) for seekers, found in pairs), groups):
        same = are_same(thumbnails, first, second)
        groups.join(first[same], second[same])
        events(Advanced(TASK, len(first)))


def _each_once(found: Iterable[tuple[Rows, Rows]], groups: _Groups) -> Iterator[tuple[Rows, Rows]]:
    """The pairs, without those that are in one group already when they are asked for."""
    waiting: list[Rows] = []
    for first, second in found:
        apart = ~groups.are_together(first, second)
        waiting.append(np.minimum(first, second)[apart] * groups.size + np.maximum(first, second)[apart])  # one number for each pair
        if sum(map(len, waiting)) > _WAITING:
            yield from _apart(waiting, groups)
            waiting.clear()
    if waiting:
        yield from _apart(waiting, groups)


def _apart(pairs: list[Rows], groups: _Groups) -> Iterator[tuple[Rows, Rows]]:
    """In rounds, with one pair of each row: where a thousand copies are each like each, a thousand pairs are enough to join them."""
    first, second = np.divmod(np.unique(np.concatenate(pairs)), groups.size)
    while len(left := np.flatnonzero(~groups.are_together(first, second))):
        first, second = first[left], second[left]
        one_of_each = np.unique(second, return_index=True)[1]
        yield first[one_of_each], second[one_of_each]
        first, second = np.delete(first, one_of_each), np.delete(second, one_of_each)


class _Groups:
    """Which rows belong together (union-find): each row has the smallest row of its group for a label."""

    def __init__(self, rows: int) -> None:
        self.size = rows
        self._labels = np.arange(rows)

    def are_together(self, first: Rows, second: Rows) -> NDArray[np.bool_]:
        together: NDArray[np.bool_] = self._labels[first] == self._labels[second]
        return together

    def join(self, first: Rows, second: Rows) -> None:
        while not self.are_together(first, second).all():
            one, other = self._labels[first], self._labels[second]
            np.minimum.at(self._labels, np.maximum(one, other), np.minimum(one, other))
            while not np.array_equal(shorter := self._labels[self._labels], self._labels):
                self._labels = shorter

    def of_several(self) -> list[Rows]:
        """The groups of two rows and more."""
        order = np.argsort(self._labels, kind="stable")
        starts = np.flatnonzero(np.diff(self._labels[order], prepend=-1))
        return [rows for rows in np.split(order, starts[1:]) if len(rows) > 1]
