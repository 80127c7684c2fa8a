"""Which rows of a store some images have, by its index; memory grows with the images that are asked for, not with the store."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import sqlite3

ID = np.dtype("S32")
_FEW = 20_000  # ids that are looked up one by one, whatever the size of the index
_SHARE = 4  # so are those of up to a quarter of it: one by one takes about three times as long a row as reading all in order (measured)
_ASKED_AT_ONCE = 500  # ids of one query; SQLite allows 999 at least
_READ_AT_ONCE = 100_000  # rows of the index

Found = tuple[NDArray[np.bytes_], NDArray[np.int64]]  # ids in their order, and their rows


def places_of(index: sqlite3.Connection, asked: NDArray[np.bytes_]) -> NDArray[np.int64]:
    """The row of each id, [len(asked)]; -1 for those that the index has not.

    Raises:
        TypeError, ValueError, OverflowError: the index holds what is no id or no row.
    """
    places = np.full(len(asked), -1, np.int64)
    order = np.argsort(asked)
    wanted = asked[order]
    for ids, rows in _some(index, np.unique(wanted)) if _are_few(index, len(asked)) else _all(index):
        if rows.min() < 0:
            raise ValueError("a row is negative")
        start, end = np.searchsorted(wanted, ids[:1], "left")[0], np.searchsorted(wanted, ids[-1:], "right")[0]
        part = wanted[start:end]
        place = np.searchsorted(ids, part)
        there = ids[place] == part
        places[order[start:end][there]] = rows[place[there]]
    return places


def _are_few(index: sqlite3.Connection, asked: int) -> bool:
    if asked <= _FEW:
        return True
    last = index.execute("SELECT max(row) FROM vectors").fetchone()[0]  # counting them would read them all
    return asked * _SHARE <= int(last or 0)


def _some(index: sqlite3.Connection, wanted: NDArray[np.bytes_]) -> Iterator[Found]:
    """Those of `wanted` (in order, each once) that are there."""
    for start in range(0, len(wanted), _ASKED_AT_ONCE):
        ids = [image_id.decode() for image_id in wanted[start : start + _ASKED_AT_ONCE]]
        pairs = index.execute(f"SELECT image_id, row FROM vectors WHERE image_id IN ({','.join('?' * len(ids))}) ORDER BY image_id", ids).fetchall()
        if pairs:
            yield _found(pairs)


def _all(index: sqlite3.Connection) -> Iterator[Found]:
    rows = index.execute("SELECT image_id, row FROM vectors ORDER BY image_id")
    while pairs := rows.fetchmany(_READ_AT_ONCE):
        yield _found(pairs)


def _found(pairs: list[tuple[str, int]]) -> Found:
    return np.array([image_id for image_id, _ in pairs], ID), np.array([row for _, row in pairs], np.int64)
