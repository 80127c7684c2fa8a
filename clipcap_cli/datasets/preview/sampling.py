"""Which pictures of many are shown: evenly taken over all of them, and some of each problem, for what is rare is what one looks for."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence


def sample(pictures: int, problems: Mapping[str, Sequence[int]], limit: int) -> list[int]:
    """The rows of at most `limit` of so many pictures, in their order.

    Args:
        problems: by kind, the rows of the pictures that have it. Half of the room is theirs, the same for each kind.
    """
    if pictures <= limit:
        return list(range(pictures))
    share = limit // 2 // max(1, len(problems))
    chosen = {row for rows in problems.values() for row in _evenly(rows, share)}
    others = [row for row in range(pictures) if row not in chosen]
    return sorted([*chosen, *_evenly(others, limit - len(chosen))])


def _evenly(rows: Sequence[int], many: int) -> Collection[int]:
    return rows if len(rows) <= many else [rows[place * len(rows) // many] for place in range(many)]
