from __future__ import annotations

from collections.abc import Callable

from clipcap_cli.datasets.check import pair_checks, split_checks
from clipcap_cli.datasets.check.findings import Finding
from clipcap_cli.datasets.check.material import Check, Material
from clipcap_cli.datasets.versions import Picture

Make = Callable[..., Material]
Told = Callable[..., Picture]


def kinds(checks: tuple[Check, ...], material: Material) -> dict[str, Finding]:
    return {finding.kind: finding for check in checks if (finding := check(material))}


def split(told: Told, name: str, many: int, caption: str = "") -> list[Picture]:
    return [told(f"{name}{number}", caption or f"{name} {number}", split=name) for number in range(many)]


def test_splits_that_are_all_there_and_large_enough_are_right(material: Make, told: Told) -> None:
    assert kinds(split_checks.CHECKS, material(*split(told, "train", 1), *split(told, "val", 50), *split(told, "test", 50))) == {}


def test_without_a_split_to_learn_from_nothing_can_be_trained(material: Make, told: Told) -> None:
    found = kinds(split_checks.CHECKS, material(*split(told, "all", 100)))
    assert {kind: finding.severity for kind, finding in found.items()} == {"no-train": "error", "no-val": "warning", "no-test": "info"}
    assert "(its splits: all)" in found["no-train"].message
    assert kinds(split_checks.CHECKS, material(told("a", "A dog.", split=None))).keys() == {"no-train", "no-val", "no-test"}


def test_small_splits_are_told_with_their_sizes(material: Make, told: Told) -> None:
    found = kinds(split_checks.CHECKS, material(*split(told, "train", 9), *split(told, "val", 49), *split(told, "test", 1)))
    assert found["small-split"].message.startswith("49 pictures in val and 1 picture in test")
    assert len(found["small-split"].pictures) == 50


def test_pictures_in_no_split_are_counted(material: Make, told: Told) -> None:
    found = split_checks.in_no_split(material(told("a", "A dog."), told("b", "A cat.", split=None)))
    assert found is not None
    assert found.pictures == ("b",)


def test_a_picture_in_two_splits_leaks_and_one_that_is_twice_in_one_does_not(material: Make, told: Told) -> None:
    twice = [told("a", "A dog.", image_id="1"), told("b", "A dog.", image_id="1"), told("c", "A cat.", image_id="2")]
    assert split_checks.leak(material(*twice, told("d", "A cat.", image_id="2", split=None))) is None
    found = split_checks.leak(material(*twice, told("d", "A cat.", image_id="2", split="val")))
    assert found is not None
    assert (found.count, found.pictures, found.examples) == (1, ("c", "d"), ("c (train) ~ d (val)",))


def test_a_group_of_nearly_the_same_pictures_leaks_only_across_splits(material: Make, told: Told) -> None:
    pictures = [told("a", "A dog."), told("b", "A dog.", split="val"), told("c", "A cat."), told("d", "A cat.")]
    found = split_checks.near_leak(material(*pictures, groups=[("a", "b"), ("c", "d")]))
    assert found is not None
    assert (found.count, found.pictures) == (1, ("a", "b"))
    assert split_checks.near_leak(material(*pictures, groups=[("c", "d")])) is None


def test_captions_that_were_learned_word_for_word_are_no_test(material: Make, told: Told) -> None:
    train = split(told, "train", 50, "A photo of a dog.")
    unlike = split(told, "val", 45)
    assert split_checks.known_captions(material(*train, *unlike, *split(told, "test", 5, "A photo of a dog."))) is None
    found = split_checks.known_captions(material(*train, *unlike, *split(told, "test", 6, "A photo of a dog.")))
    assert found is not None
    assert (found.count, found.severity) == (6, "warning")


def test_pictures_with_fewer_or_more_captions_than_most_are_counted(material: Make, told: Told) -> None:
    found = pair_checks.uneven_captions(material(told("a", "1", "2"), told("b", "1", "2"), told("c", "1"), told("d", "1", "2", "3")))
    assert found is not None
    assert (found.severity, found.pictures) == ("info", ("c", "d"))
    assert found.message.startswith("2 pictures with 1 to 3 captions, where most have 2")
    assert pair_checks.uneven_captions(material(told("a", "1", "2"), told("b", "1", "2"))) is None


def test_one_picture_in_several_files_is_told_by_whether_its_captions_agree(material: Make, told: Told) -> None:
    same = [told("a", "A dog.", "A pup.", image_id="1"), told("b", "A pup.", "A dog.", image_id="1")]
    other = [told("c", "A cat.", image_id="2"), told("d", "A cow.", image_id="2")]
    found = kinds(pair_checks.CHECKS, material(*same, *other))
    assert found["duplicate-picture"].pictures == ("a", "b")
    assert found["duplicate-picture-other-captions"].examples == ("c = d",)


def test_groups_of_pictures_that_are_not_there_any_more_are_no_trouble(material: Make, told: Told) -> None:
    found = pair_checks.near_duplicates(material(told("a", "A dog."), groups=[("a", "gone")]))
    assert found is None or found.pictures == ("a",)
