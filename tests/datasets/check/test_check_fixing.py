from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from scenes import clean_source, encoded, scene, write_table

from clipcap_cli.datasets.adding import add_dataset
from clipcap_cli.datasets.check.checking import check_dataset
from clipcap_cli.datasets.check.fixing import fix_dataset, mend_pictures
from clipcap_cli.datasets.dataset import open_dataset
from clipcap_cli.datasets.versions import Picture
from clipcap_cli.storage.home import Home

Told = Callable[..., Picture]
_MENDED = ("mojibake", "html-entity", "stray-space", "said-twice", "duplicate-picture")


def test_what_is_mended_is_not_found_again_and_the_source_stays(home: Home, tmp_path: Path) -> None:
    source = tmp_path / "food"
    rows = clean_source(source)
    for name in ("one.jpg", "two.jpg"):
        (source / "images" / name).write_bytes(encoded(scene(1_000)))
    rows += [("one.jpg", "Crème brÃ»lÃ©e.", "train"), ("one.jpg", "Fish &amp; chips.", "train"), ("two.jpg", "Crème brûlée.", "train")]
    rows += [("000.jpg", "A\u200b red boat.", "train"), ("001.jpg", "Said twice.", "train"), ("001.jpg", "Said twice.", "train")]
    write_table(source, rows)
    dataset = add_dataset(source, name="food", home=home)
    before = {path: path.read_bytes() for path in (*source.rglob("*.*"), *dataset.folder.iterdir())}

    fixed = fix_dataset(dataset)
    assert fixed.counts == {"mojibake": 1, "html-entity": 1, "stray-space": 1, "said-twice": 1, "duplicate-picture": 1}
    assert (fixed.dataset.version, fixed.dataset.made_by, fixed.dataset.pictures) == (2, "fix", dataset.pictures - 1)
    assert fixed.dataset.change == (
        "mended: 1 caption with mojibake, 1 caption with HTML entities, 1 caption with stray blanks, 1 caption said twice, 1 copy of pictures in the same split"
    )
    captions = {picture.name: picture.captions for picture in fixed.dataset.entries()}
    assert captions["images/one.jpg"] == ("Crème brûlée.", "Fish & chips.")
    assert captions["images/001.jpg"] == (rows[1][1], "Said twice.")
    assert captions["images/000.jpg"] == (rows[0][1], "A red boat.")
    assert not {finding.kind for finding in check_dataset(fixed.dataset).findings} & set(_MENDED)
    assert {path: path.read_bytes() for path in before} == before
    assert open_dataset("food", home=home, version=1).entries() == dataset.entries()


def test_where_nothing_is_to_be_mended_no_version_is_made(home: Home, tmp_path: Path) -> None:
    clean_source(tmp_path / "clean")
    dataset = add_dataset(tmp_path / "clean", home=home)
    fixed = fix_dataset(dataset)
    assert (fixed.dataset, fixed.counts) == (dataset, {})
    assert open_dataset("clean", home=home).version == 1


def test_mending_once_is_enough(told: Told) -> None:
    pictures = [told("a", "fish &amp;amp; cafÃ©  au\u200b lait", "fish & café au lait"), told("b", "A dog.", image_id="a"), told("c", "&#8203;")]
    mended, counts = mend_pictures(pictures)
    assert [(picture.name, picture.captions) for picture in mended] == [("a", ("fish & café au lait", "A dog.")), ("c", ("\u200b",))]
    assert counts == {"mojibake": 1, "html-entity": 2, "stray-space": 1, "said-twice": 1, "duplicate-picture": 1}
    assert mend_pictures(mended) == (mended, {})


def test_copies_in_different_splits_are_left_to_the_splits(told: Told) -> None:
    pictures = [told("a", "A dog.", image_id="1"), told("b", "A dog.", image_id="1", split="val"), told("c", "A dog.", image_id="1", split=None)]
    assert mend_pictures(pictures) == (pictures, {})
