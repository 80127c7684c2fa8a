"""What captions and pictures are like, in numbers: counted when a version is written, and right in every script."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clipcap_cli.datasets.adding import add_dataset
from clipcap_cli.datasets.statistics import TOP_WORDS, Bin, Distribution, Statistics, distribution, statistics_of
from clipcap_cli.datasets.versions import VERSION_FILE, Picture, read_pictures, read_statistics
from clipcap_cli.errors import StoreError
from clipcap_cli.storage.home import Home


def _pictures(*captions: Sequence[str], path: str = "a.png", size: tuple[int, int] = (640, 480)) -> list[Picture]:
    return [Picture(f"{number:032x}", path, f"{number}.png", None, *size, 10, 0, tuple(told)) for number, told in enumerate(captions)]


def test_captions_pictures_and_words_are_counted() -> None:
    found = statistics_of(_pictures(["A dog, a ball.", "Two dogs run!"], ["The DOG sleeps"]))
    assert found == Statistics(
        caption_words=Distribution(3, 3, 4, (Bin(3, 3, 2), Bin(4, 4, 1))),
        picture_captions=Distribution(1, 1, 2, (Bin(1, 1, 1), Bin(2, 2, 1))),
        shorter_sides=Distribution(480, 480, 480, (Bin(336, 511, 2),)),
        words=10,
        vocabulary=8,
        top_words={"dog": 2, "ball": 1, "dogs": 1, "run": 1, "sleeps": 1},
    )


def test_nothing_has_statistics_too() -> None:
    none = Distribution(0, 0, 0, ())
    assert statistics_of([]) == Statistics(none, none, none, 0, 0, {})


def test_a_picture_without_a_file_has_no_size() -> None:
    assert statistics_of(_pictures(["a dog"], path="", size=(0, 0))).shorter_sides.bins == ()


@pytest.mark.parametrize(
    ("caption", "words"),
    [
        ("a man , in a t-shirt .", 5),
        ("it's the dog's ball", 4),
        ("... !!! 🍎 —", 0),
        ("«Une pomme» rouge…", 3),
        ("एक लाल सेब मेज़ पर है", 6),
        ("تفاحة حمراء على طاولة", 4),
        ("красное яблоко", 2),
        ("빨간 사과", 2),
        ("桌子上有3个苹果。", 8),
        ("りんごとバナナ", 7),
        ("  padded\u3000out  ", 2),
        ("", 0),
    ],
)
def test_words_are_told_apart_in_every_script(caption: str, words: int) -> None:
    found = statistics_of(_pictures([caption]))
    assert (found.words, found.caption_words.most) == (words, words)


def test_words_of_hindi_stay_whole() -> None:
    assert statistics_of(_pictures(["किताब, किताब"])).top_words == {"किताब": 2}


def test_words_that_say_nothing_are_not_among_the_most_frequent() -> None:
    found = statistics_of(_pictures(["the cat and the 2 cats on the mat", "der Hund ist auf dem Sofa", "un chien dans la rue"]))
    assert set(found.top_words) == {"cat", "cats", "mat", "hund", "sofa", "chien", "rue"}


def test_only_the_most_frequent_words_are_kept_and_none_is_endless() -> None:
    found = statistics_of(_pictures([" ".join(f"w{chr(97 + number)}" * (number + 1) for number in range(26))], ["x" * 1000] * 3))
    assert len(found.top_words) == TOP_WORDS
    assert next(iter(found.top_words)) == "x" * 40


def test_long_tails_share_a_bin() -> None:
    found = distribution(np.array([*range(1, 31)] * 100 + [400]))
    assert [(each.low, each.high) for each in found.bins] == [(0, 4), (5, 9), (10, 14), (15, 19), (20, 24), (25, 29), (30, 34), (35, None)]
    assert found.bins[-1].count == 1
    assert (found.least, found.most) == (1, 400)


def test_bins_have_round_widths_however_large_the_numbers() -> None:
    found = distribution(np.array([1_234, 87_000, 99_999]))
    assert [(each.low, each.high) for each in found.bins if each.count] == [(0, 9_999), (80_000, 89_999), (90_000, 99_999)]


@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=200))
def test_every_value_is_in_one_bin(values: list[int]) -> None:
    found = distribution(np.array(values))
    assert sum(each.count for each in found.bins) == len(values)
    assert len(found.bins) <= 12
    for each in found.bins:
        assert each.count == sum(each.low <= value and (each.high is None or value <= each.high) for value in values)


@given(st.lists(st.lists(st.text(st.characters(codec="utf-8"), max_size=40), min_size=1, max_size=3), max_size=8))
def test_whatever_captions_say_is_counted_and_comes_back_from_json(captions: list[list[str]]) -> None:
    found = statistics_of(_pictures(*captions))
    assert Statistics.from_json(json.loads(json.dumps(found.as_json()))) == found
    assert sum(each.count for each in found.caption_words.bins) == sum(map(len, captions))


@pytest.fixture
def folder(tmp_path: Path, home: Home, draw) -> Path:  # type: ignore[no-untyped-def]
    """Of a version with two pictures."""
    for name in ("big", "small"):
        draw(tmp_path / "pets" / f"{name}.png").with_suffix(".txt").write_text(f"a {name} dog")
    return add_dataset(tmp_path / "pets", home=home).folder


def test_a_version_knows_its_statistics(folder: Path) -> None:
    assert read_statistics(folder) == statistics_of(read_pictures(folder))
    assert read_statistics(folder).top_words == {"dog": 2, "big": 1, "small": 1}


def test_statistics_are_read_without_reading_the_captions(folder: Path) -> None:
    (folder / "captions.parquet").unlink()
    assert read_statistics(folder).words == 6


def test_a_version_of_an_older_clipcap_is_counted_now(folder: Path) -> None:
    facts = json.loads((folder / VERSION_FILE).read_text())
    written = read_statistics(folder)
    del facts["statistics"]
    (folder / VERSION_FILE).write_text(json.dumps(facts))
    assert read_statistics(folder) == written


@pytest.mark.parametrize("spoilt", [[], "", {"words": 1}, {"caption_words": {"bins": 7}}, {"caption_words": {"bins": [], "least": 1e999}}])
def test_spoilt_statistics_are_a_damaged_dataset(folder: Path, spoilt: object) -> None:
    facts = json.loads((folder / VERSION_FILE).read_text())
    facts["statistics"] = spoilt
    (folder / VERSION_FILE).write_text(json.dumps(facts))
    with pytest.raises(StoreError, match="its statistics are not as they were written"):
        read_statistics(folder)
