from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from clipcap_cli.datasets import versioning
from clipcap_cli.datasets.adding import add_dataset
from clipcap_cli.datasets.checking import require_whole
from clipcap_cli.datasets.dataset import list_datasets, open_dataset, remove_dataset
from clipcap_cli.errors import InputError, StoreError
from clipcap_cli.events import Advanced, Event, Finished, Note, Started
from clipcap_cli.storage.home import Home
from clipcap_cli.storage.locks import hold

Draw = Callable[..., Path]


@pytest.fixture
def food(tmp_path: Path, draw: Draw) -> Path:
    """Twelve pictures with a captions table."""
    source = tmp_path / "My food!"
    for number in range(12):
        draw(source / "images" / f"{number}.png")
    write_table(source, {f"{number}.png": f"dish {number}" for number in range(12)})
    return source


def write_table(source: Path, rows: dict[str, str]) -> None:
    (source / "captions.csv").write_text("image,caption\n" + "".join(f'{name},"{text}"\n' for name, text in rows.items()))


def everything(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_a_folder_becomes_a_dataset_and_stays_as_it_is(home: Home, food: Path) -> None:
    before = everything(food)
    dataset = add_dataset(food, home=home)
    assert (dataset.name, dataset.version, dataset.pictures, dataset.captions, dataset.layout) == ("My-food", 1, 12, 12, "captions table")
    assert dataset.source == food
    assert sum(dataset.splits().values()) == 12
    images = dataset.images()
    assert [image.name for image in images] == sorted(f"images/{number}.png" for number in range(12))
    assert images[1].captions == ("dish 1",)
    assert (images[1].width, images[1].height, images[1].path) == (12, 8, food / "images/1.png")
    assert [image for split in dataset.splits() for image in dataset.images(split) if image.split != split] == []
    assert everything(food) == before
    assert open_dataset("My-food", home=home) == dataset == list_datasets(home)[0]


def test_its_progress_can_be_followed(home: Home, food: Path) -> None:
    events: list[Event] = []
    add_dataset(food, home=home, events=events.append)
    assert [event for event in events if isinstance(event, Started | Finished)] == [Started("add", 12, "pictures"), Finished("add")]
    assert sum(event.amount for event in events if isinstance(event, Advanced)) == 12
    notes = [event.text for event in events if isinstance(event, Note)]
    assert "captions.csv has the columns 'image,caption'" in notes[0]


def test_adding_again_without_a_change_makes_no_version(home: Home, food: Path) -> None:
    first = add_dataset(food, home=home)
    os.utime(food / "images/1.png", (1, 1))
    before = everything(home.datasets)
    events: list[Event] = []
    assert add_dataset(food, home=home, events=events.append) == first
    assert Note("nothing has changed: 'My-food' stays at version 1") in events
    assert everything(home.datasets) == before


def test_added_pictures_never_move_between_splits(home: Home, food: Path, draw: Draw) -> None:
    first = add_dataset(food, home=home)
    before = {image.image_id: image.split for image in first.images()}
    kept = everything(first.folder)
    for number in range(12, 60):
        draw(food / "images" / f"{number}.png")
    write_table(food, {f"{number}.png": f"dish {number}" for number in range(60)})
    second = add_dataset(food, home=home)
    assert (second.version, second.pictures) == (2, 60)
    assert {image.image_id: image.split for image in second.images() if image.image_id in before} == before
    assert everything(first.folder) == kept
    assert open_dataset("My-food", home=home, version=1) == first
    with pytest.raises(InputError, match="no version 3"):
        open_dataset("My-food", home=home, version=3)


def test_a_split_that_the_source_changes_stays_and_is_reported(home: Home, tmp_path: Path, draw: Draw) -> None:
    source = tmp_path / "s"
    for name in "abc":
        draw(source / f"{name}.png")
    table = source / "captions.csv"
    table.write_text("image,caption,split\na.png,one,train\nb.png,two,test\n")
    add_dataset(source, home=home)
    table.write_text("image,caption,split\na.png,one,val\nb.png,two,test\nc.png,three,val\n")
    dataset = add_dataset(source, home=home)
    assert {image.name: image.split for image in dataset.images()} == {"a.png": "train", "b.png": "test", "c.png": "val"}
    assert [(problem.kind, problem.where) for problem in dataset.problems()] == [("split-kept", "a.png")]


def test_splits_of_the_source_are_kept_and_none_is_invented(home: Home, tmp_path: Path, draw: Draw) -> None:
    for name in "abc":
        draw(tmp_path / f"s/{name}.png")
    (tmp_path / "s/captions.csv").write_text("image,caption,split\na.png,one,train\nb.png,two,train\nc.png,three,\n")
    dataset = add_dataset(tmp_path / "s", home=home)
    assert dataset.splits() == {"train": 2}
    assert dataset.pictures == 3
    assert [image.split for image in dataset.images()] == ["train", "train", None]


def test_one_picture_alone_is_learned_from(home: Home, tmp_path: Path, draw: Draw) -> None:
    for number in range(12):  # whatever its hash says
        source = tmp_path / f"s{number}"
        draw(source / "a.png", str(number))
        (source / "a.txt").write_text("one")
        assert add_dataset(source, home=home).splits() == {"train": 1}


def test_bad_pictures_are_kept_as_problems_and_the_rest_is_added(home: Home, food: Path, draw: Draw) -> None:
    (food / "images/1.png").write_bytes(b"<!DOCTYPE html><html></html>")
    (food / "images/2.png").write_bytes(b"\x89PNG\r\n\x1a\n\x00")
    (food / "images/3.png").write_bytes(b"")
    shutil.copy(food / "images/4.png", food / "images/5.png")
    draw(food / "images/extra.png")
    write_table(food, {f"{number}.png": f"dish {number}" for number in range(12)} | {"gone.png": "gone", "6.png": " "})
    dataset = add_dataset(food, home=home)
    assert dataset.pictures == 8
    assert dataset.problem_counts == {"unreadable-picture": 3, "empty-caption": 1, "missing-picture": 1, "no-caption": 1, "duplicate-picture": 1}
    assert dataset.severity_counts == {"error": 3, "warning": 3, "info": 1}
    problems = {problem.where: problem for problem in dataset.problems()}
    assert "HTML" in problems["images/1.png"].message
    assert problems["images/3.png"].message == "the file is empty"
    assert [image.captions for image in dataset.images() if image.name in ("images/4.png", "images/5.png")] == [("dish 4",), ("dish 5",)]
    assert "images/4.png" in problems["images/5.png"].message


def test_the_same_picture_in_two_splits_is_a_warning(home: Home, tmp_path: Path, draw: Draw) -> None:
    draw(tmp_path / "s/a.png", "same")
    draw(tmp_path / "s/b.png", "same")
    (tmp_path / "s/captions.csv").write_text("image,caption,split\na.png,one,train\nb.png,one,test\n")
    dataset = add_dataset(tmp_path / "s", home=home)
    assert dataset.splits() == {"train": 1, "test": 1}
    assert [(problem.kind, problem.severity) for problem in dataset.problems()] == [("duplicate-picture", "warning")]
    assert "a.png', which is in train while this one is in test" in dataset.problems()[0].message


def test_if_nothing_is_left_nothing_is_added(home: Home, tmp_path: Path) -> None:
    (tmp_path / "s").mkdir()
    for number in range(8):
        (tmp_path / f"s/{number}.jpg").write_bytes(b"<html>")
        (tmp_path / f"s/{number}.txt").write_text("one")
    with pytest.raises(InputError, match=r"nothing was added \(8 problems: 0\.jpg: this is a web page .*; and 3 more\)"):
        add_dataset(tmp_path / "s", home=home)
    assert list_datasets(home) == []


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has file names that are not text")
def test_a_file_name_that_is_no_text_is_a_problem(home: Home, tmp_path: Path, draw: Draw) -> None:
    draw(tmp_path / "s/a.png")
    draw(tmp_path / "s" / os.fsdecode(b"b\xff.png"))
    (tmp_path / "s/a.txt").write_text("one")
    (tmp_path / "s" / os.fsdecode(b"b\xff.txt")).write_text("two")
    draw(tmp_path / "s" / os.fsdecode(b"c\xff.png"))
    dataset = add_dataset(tmp_path / "s", home=home)
    assert dataset.pictures == 1
    assert dataset.problem_counts == {"no-caption": 1, "bad-name": 1}
    assert all(problem.where.isprintable() for problem in dataset.problems())


def test_a_name_that_another_source_has_is_refused(home: Home, food: Path, tmp_path: Path) -> None:
    add_dataset(food, home=home)
    other = tmp_path / "other/My food!"
    shutil.copytree(food, other)
    with pytest.raises(InputError, match="--name My-food-2"):
        add_dataset(other, home=home)
    assert add_dataset(other, name="other", home=home).version == 1
    with pytest.raises(InputError, match="cannot name a dataset"):
        add_dataset(other, name="../up", home=home)


def test_a_dataset_that_is_being_changed_is_left_alone(home: Home, food: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("clipcap_cli.datasets.versioning._WAIT_S", 0.1)
    with hold(home, "dataset-My-food"), pytest.raises(StoreError, match="is being changed"):
        add_dataset(food, home=home)


def test_a_kill_between_two_writes_leaves_the_version_before(home: Home, food: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = add_dataset(food, home=home)
    write_table(food, {"1.png": "another dish"})

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(versioning, "write_manifest", killed)
        with pytest.raises(KeyboardInterrupt):
            add_dataset(food, home=home)
    assert open_dataset("My-food", home=home) == first
    second = add_dataset(food, home=home)
    assert (second.version, second.pictures) == (2, 1)


def test_removing_leaves_the_pictures(home: Home, food: Path) -> None:
    before = everything(food)
    add_dataset(food, home=home)
    remove_dataset(home, "My-food")
    assert list_datasets(home) == []
    assert everything(food) == before
    with pytest.raises(InputError, match="no dataset named 'My-food'"):
        remove_dataset(home, "My-food")


@pytest.mark.parametrize("name", ["..", "../x", "My-fod"])
def test_an_unknown_name_is_answered_with_the_nearest(home: Home, food: Path, name: str) -> None:
    add_dataset(food, home=home)
    for call in (lambda: open_dataset(name, home=home), lambda: remove_dataset(home, name)):
        with pytest.raises(InputError, match="My-food"):
            call()


def test_an_unknown_split_is_answered_with_those_there_are(home: Home, food: Path) -> None:
    dataset = add_dataset(food, home=home)
    with pytest.raises(InputError, match=r"no split 'dev'.*train"):
        dataset.images("dev")


@pytest.mark.parametrize("file", ["dataset.json", "v0001/version.json", "v0001/images.parquet", "v0001/captions.parquet", "v0001/problems.jsonl"])
@pytest.mark.parametrize("damage", ["missing", "cut", "other"])
def test_a_damaged_file_is_named_with_what_makes_it_good_and_the_dataset_can_be_removed(home: Home, food: Path, file: str, damage: str) -> None:
    (food / "images/1.png").write_bytes(b"")  # so that there is a problem to lose
    add_dataset(food, home=home)
    path = home.datasets / "My-food" / file
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:20] if damage == "cut" else b'{"format": 1}\n')
    with pytest.raises(StoreError) as caught:
        dataset = open_dataset("My-food", home=home)
        dataset.images()
        dataset.problems()
    assert caught.value.where == str(path)
    if file == "dataset.json":
        assert "clipcap dataset remove My-food" in (caught.value.hint or "")
    else:
        assert "--name My-food --replace" in (caught.value.hint or "")
        again = add_dataset(food, home=home, replace_all=True)
        assert (again.version, len(again.images()), len(again.problems())) == (2, 11, 1)
    remove_dataset(home, "My-food")
    assert list_datasets(home) == []


def test_a_newer_format_is_refused_in_a_sentence(home: Home, food: Path) -> None:
    dataset = add_dataset(food, home=home)
    path = dataset.folder / "version.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "format": 99}))
    with pytest.raises(StoreError, match="newer than the 1"):
        open_dataset("My-food", home=home)


def test_nobody_learns_from_a_version_in_which_a_bit_is_flipped(home: Home, food: Path) -> None:
    dataset = add_dataset(food, home=home)
    require_whole(dataset.folder)
    path = dataset.folder / "captions.parquet"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(StoreError, match="not as it was written"):
        require_whole(dataset.folder)


def test_a_source_without_a_name_is_refused(home: Home) -> None:
    with pytest.raises(InputError, match="has no name"):
        add_dataset("", home=home)
