from __future__ import annotations

import hashlib
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clipcap_cli.datasets.splits import assign_splits, in_order, split_by_hash, split_name

ids = st.sets(st.integers(0, 2**128 - 1).map(lambda number: f"{number:032x}"), min_size=1, max_size=60)


@given(first=ids, more=ids)
def test_added_pictures_never_move_between_splits(first: set[str], more: set[str]) -> None:
    before = assign_splits(sorted(first), {})
    after = assign_splits(sorted(first | more), before)
    assert {image_id: after[image_id] for image_id in first} == before


@given(ids=ids)
def test_there_is_always_something_to_learn_from(ids: set[str]) -> None:
    assert "train" in assign_splits(ids, {}).values()


@given(ids=ids)
def test_a_split_does_not_depend_on_the_order(ids: set[str]) -> None:
    assert assign_splits(sorted(ids), {}) == assign_splits(sorted(ids, reverse=True), {})


def test_the_splits_are_80_10_10() -> None:
    counts = Counter(split_by_hash(hashlib.sha256(str(number).encode()).hexdigest()[:32]) for number in range(20_000))
    assert counts["train"] == pytest.approx(16_000, rel=0.03)
    assert counts["val"] == pytest.approx(2_000, rel=0.1)
    assert counts["test"] == pytest.approx(2_000, rel=0.1)


def test_a_lone_picture_is_learned_from() -> None:
    held_out = "f" * 32
    assert split_by_hash(held_out) == "test"
    assert assign_splits([held_out], {}) == {held_out: "train"}


@pytest.mark.parametrize(
    ("word", "split"),
    [("dev", "val"), (" Validation ", "val"), ("TRAIN", "train"), ("restval", "train"), ("testing", "test"), ("fold 3", "fold 3"), ("", None)],
)
def test_the_usual_words_for_splits_are_known(word: str, split: str | None) -> None:
    assert split_name(word) == split


def test_splits_are_listed_in_the_order_of_use() -> None:
    assert list(in_order({"extra": 1, "test": 2, "train": 3, "val": 4})) == ["train", "val", "test", "extra"]
