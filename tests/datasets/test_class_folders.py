from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from clipcap_cli.datasets.adding import add_dataset
from clipcap_cli.datasets.detection import detect
from clipcap_cli.datasets.records import Problem, ReaderOptions, Record
from clipcap_cli.errors import InputError
from clipcap_cli.storage.home import Home

Draw = Callable[..., Path]
PHOTO = ReaderOptions(caption_from_folder="a photo of a {}")


def read(source: Path, options: ReaderOptions = PHOTO) -> tuple[dict[str, Record], list[Problem]]:
    reader, evidence = detect(source, options)
    assert evidence.layout == "class folders"
    problems: list[Problem] = []
    return {record.image.relative_to(source).as_posix(): record for record in reader.read(source, options, problems.append)}, problems


def captions(records: dict[str, Record]) -> dict[str, tuple[str, ...]]:
    return {name: record.captions for name, record in records.items()}


def test_the_name_of_a_pictures_folder_fills_the_sentence(tmp_path: Path, draw: Draw) -> None:
    for name in ("dog/1.png", "golden_retriever/2.png", "cats/maine-coon/3.png", "_ice__cream-/4.png"):
        draw(tmp_path / name)
    assert captions(read(tmp_path)[0]) == {
        "dog/1.png": ("a photo of a dog",),
        "golden_retriever/2.png": ("a photo of a golden retriever",),
        "cats/maine-coon/3.png": ("a photo of a maine coon",),
        "_ice__cream-/4.png": ("a photo of a ice cream",),
    }
    assert detect(tmp_path, PHOTO)[1].reason == "4 pictures in 4 class folders (dog, golden retriever, ice cream, maine coon) fill 'a photo of a {}'"


def test_the_topmost_folders_may_be_splits(tmp_path: Path, draw: Draw) -> None:
    for name in ("train/dog/1.png", "train/cat/2.png", "validation/dog/3.png", "test/4.png"):
        draw(tmp_path / name)
    records, problems = read(tmp_path)
    assert {name: (record.captions, record.split) for name, record in records.items()} == {
        "train/dog/1.png": (("a photo of a dog",), "train"),
        "train/cat/2.png": (("a photo of a cat",), "train"),
        "validation/dog/3.png": (("a photo of a dog",), "val"),
    }
    assert [(problem.kind, problem.where) for problem in problems] == [("no-caption", "test/4.png")]


def test_pictures_beside_the_folders_of_classes_have_no_class(tmp_path: Path, draw: Draw) -> None:
    draw(tmp_path / "dog/1.png")
    draw(tmp_path / "cover.png")
    records, problems = read(tmp_path)
    assert (list(records), [problem.where for problem in problems]) == (["dog/1.png"], ["cover.png"])


def test_a_folder_of_one_class_may_be_added_itself_or_in_a_zip(home: Home, tmp_path: Path, draw: Draw) -> None:
    draw(tmp_path / "hot_dog/1.png")
    assert captions(read(tmp_path / "hot_dog")[0]) == {"1.png": ("a photo of a hot dog",)}
    for name, inside in (("flat/hot_dog.zip", "1.png"), ("whole/mine.zip", "hot_dog/1.png")):
        source = tmp_path / name
        source.parent.mkdir()
        with zipfile.ZipFile(source, "w") as archive:
            archive.write(tmp_path / "hot_dog/1.png", inside)
        assert [image.captions for image in add_dataset(source, home=home, options=PHOTO, name=name[:4]).images()] == [("a photo of a hot dog",)]


@pytest.mark.parametrize(
    ("sentence", "caption"), [("{}", "dog"), ("{}, {} and {0}", "dog, dog and {0}"), ("a  {}\n{!r}", "a dog {!r}"), ("{} %s {x.y}", "dog %s {x.y}")]
)
def test_nothing_but_the_two_braces_is_filled_in(tmp_path: Path, draw: Draw, sentence: str, caption: str) -> None:
    draw(tmp_path / "dog/1.png")
    assert captions(read(tmp_path, ReaderOptions(caption_from_folder=sentence))[0]) == {"dog/1.png": (caption,)}


def test_braces_in_a_folders_name_are_text(tmp_path: Path, draw: Draw) -> None:
    draw(tmp_path / "{}/1.png")
    draw(tmp_path / "none/2.png")
    assert captions(read(tmp_path)[0]) == {"{}/1.png": ("a photo of a {}",), "none/2.png": ("a photo of a none",)}


def test_a_sentence_without_a_place_for_the_name_is_refused(tmp_path: Path, draw: Draw) -> None:
    draw(tmp_path / "dog/1.png")
    with pytest.raises(InputError, match=r"the sentence 'a photo' has no place for a folder's name.*Write \{\} where"):
        read(tmp_path, ReaderOptions(caption_from_folder="a photo"))


def test_captions_of_folders_names_are_not_made_for_a_file(tmp_path: Path, draw: Draw) -> None:
    draw(tmp_path / "a.png")
    (tmp_path / "captions.csv").write_text("image,caption\na.png,one\n")
    with pytest.raises(InputError, match="captions can be made of the names of folders, and this is a file"):
        read(tmp_path / "captions.csv")


def test_a_folder_without_pictures_is_described_as_usual(tmp_path: Path) -> None:
    (tmp_path / "notes.md").write_text("x")
    with pytest.raises(InputError, match="there are no pictures in this folder"):
        read(tmp_path)


def test_class_folders_are_not_captions_and_what_to_do_is_said(tmp_path: Path, draw: Draw) -> None:
    for name in ("train/dog/1.png", "train/hot_dog/2.png", "test/dog/3.png"):
        draw(tmp_path / name)
    with pytest.raises(InputError) as caught:
        detect(tmp_path, ReaderOptions())
    assert caught.value.message.startswith("there are 3 pictures in 2 subfolders (dog, hot dog) and no captions; if these are classes")
    assert '--caption-from-folder "a photo of a {}"' in (caught.value.hint or "")


def test_the_sentence_is_remembered_when_the_folder_is_added_again(home: Home, tmp_path: Path, draw: Draw) -> None:
    draw(tmp_path / "animals/dog/1.png")
    draw(tmp_path / "animals/cat/2.png")
    first = add_dataset(tmp_path / "animals", home=home, options=PHOTO)
    assert add_dataset(tmp_path / "animals", home=home) == first
    draw(tmp_path / "animals/cow/3.png")
    assert add_dataset(tmp_path / "animals", home=home).version == 2
