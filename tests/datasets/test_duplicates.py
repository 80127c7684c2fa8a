from __future__ import annotations

import io
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageEnhance, ImageOps
from scenes import encoded, scene

from clipcap_cli.datasets.duplicates import grouping, lookup
from clipcap_cli.datasets.duplicates.grouping import near_duplicates
from clipcap_cli.datasets.duplicates.hashes import CROPS, hash_pictures, pack
from clipcap_cli.datasets.duplicates.lookup import alike
from clipcap_cli.datasets.duplicates.registration import correlation_of_details
from clipcap_cli.datasets.duplicates.thumbnails import SIDE, are_flat, as_array, brightness_of, thumbnail_of
from clipcap_cli.datasets.pictures import look_at

ORIGINALS = {f"{number:02d}": scene(number, (320, 240)) for number in range(40)}
THUMBNAILS = {name: thumbnail_of(picture) for name, picture in ORIGINALS.items()}


def again(picture: Image.Image, form: str = "JPEG", quality: int = 90) -> Image.Image:
    return look_at(encoded(picture, form, quality=quality), "copy", 2 * SIDE).image


def cropped(picture: Image.Image, left: float, top: float, right: float, bottom: float) -> Image.Image:
    width, height = picture.size
    return picture.crop((round(width * left), round(height * top), round(width * (1 - right)), round(height * (1 - bottom))))


COPIES = {
    "half the size": lambda picture: again(picture.resize((160, 120))),
    "double the size": lambda picture: again(picture.resize((640, 480))),
    "JPEG of quality 40": lambda picture: again(picture, quality=40),
    "PNG": lambda picture: again(picture, "PNG"),
    "WebP": lambda picture: again(picture, "WEBP", 80),
    "cropped everywhere": lambda picture: again(cropped(picture, 0.05, 0.05, 0.05, 0.05)),
    "cropped at a corner": lambda picture: again(cropped(picture, 0.05, 0.05, 0, 0)),
    "cropped at one side": lambda picture: again(cropped(picture, 0, 0.04, 0, 0)),
    "brighter": lambda picture: again(ImageEnhance.Brightness(picture).enhance(1.2)),
    "darker": lambda picture: again(ImageEnhance.Brightness(picture).enhance(0.8)),
}


def group(pictures: dict[str, bytes]) -> list[tuple[str, ...]]:
    return near_duplicates(list(pictures), as_array(list(pictures.values())))


@pytest.mark.parametrize("kind", COPIES)
def test_copies_are_grouped_with_their_originals_and_with_nothing_else(kind: str) -> None:
    copies = {f"{name} copy": thumbnail_of(COPIES[kind](picture)) for name, picture in ORIGINALS.items()}
    groups = group({**THUMBNAILS, **copies})
    assert set(groups) <= {(name, f"{name} copy") for name in ORIGINALS}
    assert len(groups) >= 0.97 * len(ORIGINALS)


def test_different_pictures_are_in_no_group() -> None:
    assert group(THUMBNAILS) == []


def test_what_is_drawn_alike_in_other_colours_is_another_picture() -> None:
    red = Image.merge("RGB", scene(1).convert("RGB").split())
    green = Image.merge("RGB", [red.getchannel(1), red.getchannel(0), red.getchannel(2)])
    apple = Image.new("RGB", (128, 128), "white")
    apple.paste((220, 40, 30), (20, 30, 108, 110))
    leaf = apple.copy()
    leaf.paste((60, 190, 40), (20, 30, 108, 110))
    assert group({"red": thumbnail_of(apple), "green": thumbnail_of(leaf)}) == []
    assert group({"a": thumbnail_of(red), "b": thumbnail_of(green)}) == []


def test_a_mirrored_or_turned_picture_is_another_one() -> None:
    picture = ORIGINALS["00"]
    others = {"as it is": picture, "mirrored": ImageOps.mirror(picture), "upside down": ImageOps.flip(picture), "turned": picture.rotate(90, expand=True)}
    assert group({name: thumbnail_of(other) for name, other in others.items()}) == []


def test_pictures_of_one_colour_are_in_no_group() -> None:
    white = [again(Image.new("RGB", size, "white"), quality=quality) for size in ((100, 100), (60, 80)) for quality in (30, 90)]
    assert are_flat(as_array([thumbnail_of(picture) for picture in white])).all()
    assert group({str(number): thumbnail_of(picture) for number, picture in enumerate(white)}) == []


def test_copies_of_copies_are_one_group() -> None:
    first = ORIGINALS["00"]
    second = again(cropped(first, 0.05, 0, 0, 0.05))
    third = again(cropped(second, 0.05, 0, 0, 0.05))
    made = {"first": first, "second": second, "third": third}
    assert group({name: thumbnail_of(picture) for name, picture in made.items()}) == [("first", "second", "third")]


@given(st.randoms(use_true_random=False))
def test_the_order_of_the_pictures_does_not_matter(chance: random.Random) -> None:
    made = {**THUMBNAILS, **{f"{name} copy": _SOME_COPIES[name] for name in _SOME_COPIES}}
    vectors = {name: _VECTORS[number] for number, name in enumerate(made)}
    expected = near_duplicates(list(made), as_array(list(made.values())), (list(vectors), np.stack(list(vectors.values()))))
    names, told = list(made), list(vectors)
    chance.shuffle(names)
    chance.shuffle(told)
    shuffled = as_array([made[name] for name in names]), (told, np.stack([vectors[name] for name in told]))
    assert near_duplicates(names, *shuffled) == expected
    assert expected[:2] == [("00", "00 copy"), ("01", "01 copy")]


_SOME_COPIES = {name: thumbnail_of(COPIES["cropped at a corner"](ORIGINALS[name])) for name in list(ORIGINALS)[:6]}
_VECTORS = np.random.default_rng(0).standard_normal((len(ORIGINALS) + 6, 8)).astype(np.float32)


def test_embeddings_that_point_the_same_way_join_pictures_that_look_unlike() -> None:
    chance = np.random.default_rng(0)
    vectors = chance.standard_normal((300, 64)).astype(np.float32) + 3  # as encoders have it, all point somewhat the same way
    names = [f"{number:03d}" for number in range(300)]
    vectors[1] = vectors[0] + 0.2 * chance.standard_normal(64)
    ids, thumbnails = names[:20], as_array([thumbnail_of(scene(number)) for number in range(20)])
    assert near_duplicates(ids, thumbnails, (names, vectors)) == [("000", "001")]
    vectors[299] = 2 * (vectors[1] - vectors.mean(0)) + vectors.mean(0)  # a picture of which there is no thumbnail
    assert near_duplicates(ids, thumbnails, (names, vectors)) == [("000", "001", "299")]


def test_embeddings_that_are_no_numbers_are_left_out() -> None:
    vectors = np.random.default_rng(0).standard_normal((300, 64)).astype(np.float32)
    vectors[1], vectors[2, 0], vectors[3, 0] = vectors[0], np.nan, np.inf
    assert near_duplicates([], as_array([]), ([f"{number:03d}" for number in range(300)], vectors)) == [("000", "001")]


def test_a_few_embeddings_tell_nothing() -> None:
    assert near_duplicates([], as_array([]), (["a", "b"], np.ones((2, 4), np.float32))) == []


def test_nothing_is_grouped_of_nothing_or_one() -> None:
    assert group({}) == []
    assert group({"00": THUMBNAILS["00"]}) == []


def test_hashes_that_differ_in_three_bits_are_always_found() -> None:
    chance = np.random.default_rng(0)
    hashes = chance.integers(0, 2**64, 200, np.uint64, endpoint=False)
    flipped = np.array([sum(1 << int(bit) for bit in chance.choice(64, 3, replace=False)) for _ in hashes], np.uint64)
    both = np.concatenate([hashes, hashes ^ flipped])
    found = {(int(one), int(other)) for first, second in alike(both, np.zeros_like(both), both[:, None], 3) for one, other in zip(first, second, strict=True)}
    assert {(number, number + 200) for number in range(200)} <= found
    assert all(abs(one - other) == 200 for one, other in found)


def test_the_bit_that_is_in_doubt_may_be_the_other_way() -> None:
    # One bit of each band is wrong, so that no band is the same; three of them are not in doubt.
    right, wrong = np.uint64(0), np.uint64(1 | 1 << 20 | 1 << 40 | 1 << 60)
    both = np.array([right, wrong])

    def found(doubts: int) -> int:
        return sum(len(first) for first, _ in alike(both, np.array([doubts, 0], np.uint64), both[:, None], 8))

    assert found(0) == 0
    assert found(1 << 5) == 0
    assert found(1 << 20) == 1


def test_a_hundred_thousand_pictures_of_the_same_thing_are_not_compared_each_with_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookup, "_REACH", 5)
    hashes = np.zeros(1_000, np.uint64)
    pairs = sum(len(first) for first, _ in alike(hashes, hashes, hashes[:, None], 8))
    assert pairs <= 2 * lookup.BANDS * 2 * 5 * 1_000


def test_many_copies_of_one_picture_are_one_group_without_being_compared_each_with_each(monkeypatch: pytest.MonkeyPatch) -> None:
    compared = []

    def counted(thumbnails: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        compared.append(len(first))
        return np.ones(len(first), bool)

    monkeypatch.setattr(grouping, "are_same", counted)
    names = [f"{number:04d}" for number in range(1_000)]
    assert near_duplicates(names, as_array([THUMBNAILS["00"]] * 1_000)) == [tuple(names)]
    assert sum(compared) < 2_000  # of 499,500


def test_the_first_crop_is_the_whole_picture_and_a_cropped_copy_is_near_another() -> None:
    assert CROPS[0] == (0, 0, 0, 0)
    whole = hash_pictures(as_array([THUMBNAILS["00"]]))
    assert whole.crops[0, 0] == whole.wholes[0]
    copy = hash_pictures(as_array([thumbnail_of(cropped(ORIGINALS["00"], 0.05, 0.05, 0.05, 0.05))]))
    differing = [int(found ^ copy.wholes[0]).bit_count() for found in whole.crops[0]]
    assert min(differing) <= 6 < differing[0]


def test_bits_of_a_band_lie_together() -> None:
    bits = np.zeros((4, 64), bool)
    for band in range(4):
        bits[band, band * 16] = True
    assert [int(found) for found in pack(bits)] == [1, 1 << 16, 1 << 32, 1 << 48]


def test_details_agree_when_they_are_laid_on_one_another_whatever_the_brightness() -> None:
    whole, part = (
        brightness_of(as_array([thumbnail_of(picture)])).astype(np.float32) for picture in (ORIGINALS["00"], cropped(ORIGINALS["00"], 0.05, 0, 0, 0.03))
    )
    assert correlation_of_details(whole, part * 0.6 + 30)[0] > 0.7
    assert correlation_of_details(part, whole)[0] > 0.7
    other = brightness_of(as_array([THUMBNAILS["01"]])).astype(np.float32)
    assert correlation_of_details(whole, other)[0] < 0.4
    assert correlation_of_details(np.zeros_like(whole), whole)[0] == pytest.approx(0, abs=0.01)


def test_a_thumbnail_is_the_same_for_the_same_pixels_of_any_size() -> None:
    stream = io.BytesIO()
    scene(3, (320, 320)).save(stream, "PNG")
    assert thumbnail_of(look_at(stream.getvalue(), "a", 64).image) == thumbnail_of(scene(3, (320, 320)))
