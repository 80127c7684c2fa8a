from __future__ import annotations

import pytest

from clipcap_cli.words import count, duration, moment, size


@pytest.mark.parametrize(
    ("number", "noun", "said"), [(0, "picture", "0 pictures"), (1, "entry", "1 entry"), (1200, "entry", "1,200 entries"), (2, "sketch", "2 sketches")]
)
def test_counts_agree_with_their_noun(number: int, noun: str, said: str) -> None:
    assert count(number, noun) == said


@pytest.mark.parametrize(("amount", "said"), [(0, "0 bytes"), (999, "999 bytes"), (18_800_000, "18.8 MB"), (5e12, "5 TB")])
def test_sizes_are_in_thousands(amount: float, said: str) -> None:
    assert size(amount) == said


@pytest.mark.parametrize(("seconds", "said"), [(0.4, "0 s"), (59.6, "1 min 0 s"), (125, "2 min 5 s"), (12_000, "3 h 20 min")])
def test_durations_have_two_units_at_most(seconds: float, said: str) -> None:
    assert duration(seconds) == said


def test_a_moment_that_is_none_stays_as_it_is() -> None:
    assert moment("yesterday") == "yesterday"
    assert moment("2024-05-01T12:30:00+00:00")[:7] in ("2024-04", "2024-05")
