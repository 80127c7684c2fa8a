from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image
from scenes import Row, clean_source, encoded, scene, sentence, write_table

from clipcap_cli.datasets.adding import add_dataset
from clipcap_cli.datasets.check.checking import CHECKS, check_dataset, find_duplicates
from clipcap_cli.datasets.check.findings import SEVERITIES, Report
from clipcap_cli.datasets.dataset import Dataset
from clipcap_cli.events import Advanced, Event, Finished, Started
from clipcap_cli.storage.home import Home

_LONG = " ".join(f"word{number}" for number in range(61)) + "."
_TWICE = "Fresh bread on a wooden board near the oven"


class Planted:
    """A clean source into which faults are put; each is noted with the names of the pictures that have it."""

    def __init__(self, source: Path) -> None:
        self.source = source
        self.rows: list[Row] = clean_source(source)
        self.expected: dict[str, set[str]] = {}
        self.later: list[tuple[Path, bytes | None]] = []  # what becomes of files after they were added

    def picture(self, name: str, data: bytes, *kinds: str, split: str = "train", captions: tuple[str, ...] = ()) -> None:
        (self.source / "images" / name).write_bytes(data)
        for caption in captions or (sentence(1_000 + len(self.rows)),):
            self.rows.append((name, caption, split))
        for kind in kinds:
            self.expected.setdefault(kind, set()).add(f"images/{name}")

    def caption(self, name: str, caption: str, *kinds: str, split: str = "train") -> None:
        self.picture(name, encoded(scene(len(self.rows) + 5_000)), *kinds, split=split, captions=(caption,))

    def after_adding(self, name: str, data: bytes | None, *kinds: str) -> None:
        self.picture(name, encoded(scene(len(self.rows) + 5_000)), *kinds)
        self.later.append((self.source / "images" / name, data))

    def add(self, home: Home) -> Dataset:
        write_table(self.source, self.rows)
        dataset = add_dataset(self.source, name="planted", home=home)
        for path, data in self.later:
            if data is None:
                path.unlink()
            else:
                path.write_bytes(data)
        return dataset


@pytest.fixture
def planted(tmp_path: Path) -> Planted:
    """Thirty-three kinds of faults."""
    made = Planted(tmp_path / "planted")
    _plant_pictures(made)
    _plant_captions(made)
    _plant_copies(made)
    return made


def _plant_pictures(made: Planted) -> None:
    whole = encoded(scene(1_001), quality=95)
    turned = Image.Exif()
    turned[0x112] = 6
    made.after_adding("gone.jpg", None, "unreadable-picture")
    made.after_adding("page.jpg", b"<html>not found</html>", "no-picture", "changed-picture")
    made.after_adding("other.jpg", encoded(scene(1_002)), "changed-picture")
    made.picture("cut.jpg", whole[: len(whole) // 2], "damaged-picture")
    made.picture("tiny.png", encoded(scene(1_003, (60, 63)), "PNG"), "tiny-picture")
    made.picture("huge.jpg", encoded(scene(1_004)) + bytes(20_000_000), "huge-picture")
    made.picture("banner.png", encoded(scene(1_005, (400, 120)), "PNG"), "long-picture")
    made.picture("white.jpg", encoded(Image.new("RGB", (200, 150), (250, 250, 248)), quality=60), "blank-picture")
    made.picture("in fact.jpg", encoded(scene(1_006), "PNG"), "wrong-suffix")
    made.picture("moving.gif", encoded(scene(1_007), "GIF", save_all=True, append_images=[scene(1_008)]), "animated-picture")
    made.picture("sideways.jpg", encoded(scene(1_009), exif=turned), "turned-picture")


def _plant_captions(made: Planted) -> None:
    made.caption("long.jpg", _LONG, "long-caption")
    made.caption("word.jpg", "Dog.", "one-word-caption")
    made.caption("open.jpg", "A dog beside a door", "no-end-mark")
    for number in range(10):
        made.caption(f"same {number}.jpg", "Delicious food.", "repeated-caption")
    made.caption("camera.jpg", "IMG_2041.jpg", "file-name-caption", "one-word-caption", "no-end-mark")
    made.caption("mojibake.jpg", "A cup of cafÃ© au lait on the table.", "mojibake")
    made.caption("entity.jpg", "Salt &amp; pepper in a shaker.", "html-entity")
    made.caption("invisible.jpg", "A red\u200b boat at the quay.", "stray-space")
    made.caption("lost.jpg", "A jar of jalape\ufffdos on a shelf.", "lost-characters")
    made.caption("russian.jpg", "Собака бежит по снегу.", "other-script")
    made.caption("tags.jpg", "A <b>very</b> old church.", "markup")
    made.caption("tagged.jpg", "Sunset at the beach #holiday.", "hashtag")
    for number in range(8):
        made.caption(f"photo {number}.jpg", f"A photo of {number + 2} swans beside each other.", "leading-phrase")
    made.caption("loud.jpg", "A MAN RIDES A BICYCLE DOWN A HILL.", "capitals")
    made.caption("broken.jpg", "A man who is about to...", "cut-off-caption")
    for number in range(5):
        made.caption(f"twice {number}.jpg", f"{_TWICE} {number}. {_TWICE}.", "repeats-itself")
    made.picture("again.jpg", encoded(scene(1_010)), "said-twice", "uneven-captions", captions=("A cat on a mat.", "A cat on a mat."))


def _plant_copies(made: Planted) -> None:
    one, other, torn = (encoded(scene(number)) for number in (1_011, 1_012, 1_013))
    for name in ("one.jpg", "one too.jpg"):
        made.picture(name, one, "duplicate-picture", captions=("One dish of soup.",))
    for name in ("other.1.jpg", "other.2.jpg"):
        made.picture(name, other, "duplicate-picture-other-captions")
    for name, split in (("torn.1.jpg", "train"), ("torn.2.jpg", "test")):
        made.picture(name, torn, "duplicate-picture-other-captions", "leak", split=split)
    near = scene(1_014, (320, 240))
    for name, picture, split in (("near.jpg", near, "train"), ("nearly.jpg", near.resize((160, 120)), "train")):
        made.picture(name, encoded(picture), "near-duplicates", split=split)
    leaking = scene(1_015)
    for name, picture, split in (("leaking.jpg", leaking, "train"), ("leaked.jpg", leaking.resize((240, 180)), "val")):
        made.picture(name, encoded(picture), "near-duplicates", "near-leak", split=split)
    made.caption("nowhere.jpg", "A picture that belongs to nobody.", "in-no-split", split="")


def found(report: Report) -> dict[str, set[str]]:
    return {finding.kind: set(finding.pictures) for finding in report.findings}


def test_all_planted_faults_are_found_and_nothing_else(home: Home, planted: Planted) -> None:
    report = check_dataset(planted.add(home))
    assert len(planted.expected) >= 33
    assert found(report) == planted.expected


def test_each_fault_says_how_many_what_and_what_mends_it(home: Home, planted: Planted) -> None:
    report = check_dataset(planted.add(home))
    for finding in report.findings:
        assert finding.message.startswith(f"{finding.count:,} "), finding
        assert finding.remedy
        assert 1 <= len(finding.examples) <= 5, finding
    assert [finding.severity for finding in report.findings] == sorted((finding.severity for finding in report.findings), key=SEVERITIES.index)
    assert {finding.kind for finding in report.findings if finding.severity == "error"} == {
        *("unreadable-picture", "no-picture", "damaged-picture", "changed-picture")
    }
    mojibake = report.find("mojibake")
    assert mojibake is not None
    assert mojibake.examples == ("images/mojibake.jpg: 'cafÃ©' -> 'café'",)
    assert mojibake.captions == (("images/mojibake.jpg", "A cup of cafÃ© au lait on the table."),)
    assert mojibake.remedy == "clipcap dataset check planted --fix"
    assert report.find("no such kind") is None


def test_a_clean_dataset_has_nothing_above_info(home: Home, tmp_path: Path) -> None:
    clean_source(tmp_path / "clean")
    report = check_dataset(add_dataset(tmp_path / "clean", home=home))
    assert report.findings == ()
    assert report.counts == {"error": 0, "warning": 0, "info": 0}


def test_a_report_is_json(home: Home, planted: Planted) -> None:
    report = check_dataset(planted.add(home))
    told = json.loads(json.dumps(report.as_json()))
    assert (told["dataset"], told["version"], told["counts"]["error"]) == ("planted", 1, 4)
    assert told["findings"][0].keys() == {"kind", "severity", "count", "message", "examples", "remedy", "pictures"}


def test_captions_are_measured_in_the_tokens_that_are_handed_in(home: Home, tmp_path: Path) -> None:
    clean_source(tmp_path / "clean")
    dataset = add_dataset(tmp_path / "clean", home=home)
    report = check_dataset(dataset, count_tokens=lambda texts: [len(text) for text in texts], max_tokens=60)
    finding = report.find("long-caption")
    assert finding is not None
    longer = {caption for picture in dataset.entries() for caption in picture.captions if len(caption) > 60}
    assert {caption for _, caption in finding.captions} == longer != set()
    assert f"(the longest has {max(map(len, longer))})" in finding.message


def test_the_check_of_a_dataset_changes_nothing_of_its_versions_or_source(home: Home, planted: Planted) -> None:
    dataset = planted.add(home)

    def everything() -> dict[Path, bytes]:
        return {path: path.read_bytes() for folder in (dataset.folder, planted.source) for path in folder.rglob("*") if path.is_file()}

    before = everything()
    check_dataset(dataset)
    assert everything() == before


def test_its_progress_can_be_followed(home: Home, tmp_path: Path) -> None:
    clean_source(tmp_path / "clean")
    events: list[Event] = []
    check_dataset(add_dataset(tmp_path / "clean", home=home), events=events.append)
    assert [event for event in events if isinstance(event, Started | Finished)] == [
        *(Started("look", 160, "pictures"), Finished("look"), Started("compare", None, "pairs"), Finished("compare"))
    ]
    assert sum(event.amount for event in events if isinstance(event, Advanced) and event.task == "look") == 160


def test_groups_can_be_found_for_pictures_that_are_in_no_version_yet(home: Home, planted: Planted) -> None:
    dataset = planted.add(home)
    by_name = {picture.name: picture for picture in dataset.entries()}
    chosen = [replace(by_name[f"images/{name}"], split=None) for name in ("near.jpg", "nearly.jpg", "leaking.jpg", "long.jpg")]
    assert find_duplicates(home, "not there", chosen) == [tuple(sorted(picture.image_id for picture in chosen[:2]))]
    assert not (home.datasets / "not there").exists()


def test_each_kind_has_one_name(home: Home, planted: Planted) -> None:
    kinds = [finding.kind for finding in check_dataset(planted.add(home)).findings]
    assert len(kinds) == len(set(kinds))
    assert len(CHECKS) >= len(kinds)
