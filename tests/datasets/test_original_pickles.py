from __future__ import annotations

import io
import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.numpy import load_file

from clipcap_cli.datasets.adding import add_dataset
from clipcap_cli.datasets.original_pickles import read_original
from clipcap_cli.datasets.records import ReaderOptions
from clipcap_cli.errors import InputError
from clipcap_cli.storage.home import Home

FOLDER = Path(__file__).parent.parent / "data" / "golden" / "pickles"
FACTS = json.loads((FOLDER / "pickles.json").read_text())
VECTORS = load_file(FOLDER / "embeddings.safetensors")
HONEST = [facts for facts in FACTS["files"] if facts["kind"] in ("coco", "conceptual", "food")]
OTHERS = [facts["file"] for facts in FACTS["files"] if facts["kind"] in ("conceptual_download", "token_cache")] + [facts["file"] for facts in FACTS["broken"]]
# This one is honest; what is hostile is the token cache beside it, which the original reads unasked.
HOSTILE = [path for path in sorted((FOLDER / "hostile").glob("*.pkl")) if path.name != "cache_data.pkl"]


@pytest.mark.parametrize("facts", HONEST, ids=lambda facts: Path(facts["file"]).stem)
def test_every_honest_file_is_read_as_it_was_written(facts: dict[str, Any]) -> None:
    data = read_original(FOLDER.parent / facts["file"])
    assert data.kind == facts["kind"]
    assert (str(data.vectors.dtype), list(data.vectors.shape)) == (facts["embedding_dtype"], facts["embedding_shape"])
    np.testing.assert_array_equal(data.vectors, VECTORS[facts["embeddings"]])
    text, image = ("Captions", "Index") if facts["kind"] == "food" else ("caption", "image_id")
    assert [(caption.text, caption.image) for caption in data.captions] == [(row[text], row[image]) for row in facts["captions"]]
    if not data.misaligned:
        assert [caption.row for caption in data.captions] == [row["clip_embedding"] for row in facts["captions"]]


@pytest.mark.parametrize(
    ("name", "misaligned"), [("conceptual_clip_separate_train", True), ("conceptual_clip_ViT-B_32_train", True), ("conceptual_clip_ViT-B_32_val", False)]
)
def test_in_misaligned_files_the_place_in_the_list_is_the_row(name: str, misaligned: bool) -> None:
    data = read_original(FOLDER / f"{name}.pkl")
    assert data.misaligned == misaligned
    assert [caption.row for caption in data.captions] == list(range(len(data.captions)))


@pytest.mark.parametrize("path", HOSTILE, ids=lambda path: path.name)
def test_a_hostile_file_is_refused_and_creates_nothing(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for read in (lambda: read_original(path), lambda: add_dataset(path, home=Home(tmp_path / "home"))):
        with pytest.raises(InputError) as caught:
            read()
        assert "was refused" in caught.value.message or "never read" in caught.value.message
    assert [entry.name for entry in tmp_path.iterdir() if entry.name != "home"] == []


def test_all_hostile_files_are_here_and_a_token_cache_is_never_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(HOSTILE) == 32
    monkeypatch.chdir(tmp_path)
    assert len(read_original(FOLDER / "hostile" / "cache_data.pkl").captions) > 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", OTHERS)
def test_other_and_broken_files_get_a_sentence(name: str) -> None:
    with pytest.raises(InputError) as caught:
        read_original(FOLDER.parent / name)
    assert caught.value.where
    assert caught.value.hint


def _pickled(value: Any, tmp_path: Path) -> Path:
    path = tmp_path / "made.pkl"
    path.write_bytes(pickle.dumps(value))
    return path


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"clip_embedding": torch.zeros(2), "captions": []}, "clip_embedding is no matrix"),
        ({"clip_embedding": torch.zeros(2, 2), "captions": {}}, "captions no list"),
        ({"clip_embedding": torch.zeros(2, 2), "captions": ["a dog"]}, "neither a dict nor a row of a table"),
        ({"clip_embedding": torch.zeros(2, 2), "captions": [{"caption": "a dog"}]}, "no number of an embedding"),
        ({"clip_embedding": torch.zeros(2, 2), "captions": [{"caption": "a dog", "clip_embedding": "1"}]}, "no number of an embedding"),
        ({"clip_embedding": torch.zeros(2, 2), "captions": [{"caption": ["a"], "clip_embedding": 1}]}, "this row has no caption"),
    ],
)
def test_files_of_another_shape_are_told(value: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        read_original(_pickled(value, tmp_path))


def test_a_tensor_that_names_more_than_there_is_takes_no_memory(tmp_path: Path) -> None:
    data = pickle.dumps({"clip_embedding": torch.zeros(4, 4), "captions": []}, protocol=2)
    small, huge = pickle.dumps((4, 4), protocol=2)[2:-1], pickle.dumps((10**6, 10**6), protocol=2)[2:-1]
    head, _, tail = data.partition(small[: small.index(b"\x86") + 1])
    (tmp_path / "huge.pkl").write_bytes(head + huge[: huge.index(b"\x86") + 1] + tail)
    with pytest.raises(InputError, match=r"names 1,000,000,000,000 numbers, and the file has 16"):
        read_original(tmp_path / "huge.pkl")


def test_what_a_file_does_to_the_stand_ins_does_not_reach_the_next(tmp_path: Path) -> None:
    # BUILD with a slot state sets attributes on whatever is on the stack: here on a stand-in's class.
    stream = io.BytesIO()
    stream.write(b"\x80\x02cpandas\nSeries\n}\x8c\x04whatX\x03\x00\x00\x00evils\x86b.".replace(b"}\x8c", b"N}\x8c"))
    (tmp_path / "spoil.pkl").write_bytes(stream.getvalue())
    with pytest.raises(InputError):
        read_original(tmp_path / "spoil.pkl")
    assert read_original(FOLDER / "food_pandas3.pkl").kind == "food"


def test_captions_without_pictures_become_a_dataset_known_by_its_embeddings(tmp_path: Path) -> None:
    source = tmp_path / "oscar_split_ViT-B_32_train.pkl"
    source.write_bytes((FOLDER / source.name).read_bytes())
    dataset = add_dataset(source, home=Home(tmp_path / "home"))
    assert dataset.name == "oscar_split_ViT-B_32_train"
    assert dataset.layout == "original pickle"
    assert "no pictures beside it" in dataset.reason
    data = read_original(source)
    assert dataset.captions == 6
    assert dataset.pictures == len({data.vector_id(caption.row) for caption in data.captions})
    for image in dataset.images():
        assert image.path is None
        assert set(image.captions) <= {" ".join(caption.text.split()) for caption in data.captions}
    assert add_dataset(source, home=Home(tmp_path / "home")).version == 1


def test_rows_without_an_embedding_are_problems_and_the_others_are_kept(tmp_path: Path) -> None:
    source = tmp_path / "short.pkl"
    source.write_bytes((FOLDER / "short_invalid.pkl").read_bytes())
    dataset = add_dataset(source, home=Home(tmp_path / "home"))
    assert dataset.problem_counts["no-embedding"] == 2
    assert dataset.pictures == 2


@pytest.mark.parametrize("beside", [True, False])
@pytest.mark.parametrize("name", ["{}.jpg", "COCO_val2014_{:0>12}.jpg"])
def test_pictures_at_hand_are_found_by_the_names_that_coco_gives_them(name: str, beside: bool, tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    source = (folder if beside else tmp_path) / "oscar.pkl"
    source.write_bytes((FOLDER / "oscar_split_ViT-B_32_train.pkl").read_bytes())
    for number, image in enumerate(("57870", "384029")):
        Image.new("RGB", (20, 20), (number, 0, 0)).save(folder / name.format(image))
    dataset = add_dataset(source, home=Home(tmp_path / "home"), options=ReaderOptions(images=None if beside else folder))
    assert {image.name for image in dataset.images()} == {name.format("57870"), name.format("384029")}
    assert dataset.captions == 4
    assert dataset.problem_counts["missing-picture"] == 1


def test_the_seeds_food_file_finds_its_pictures(tmp_path: Path) -> None:
    (tmp_path / "food").mkdir()
    Image.new("RGB", (20, 20)).save(tmp_path / "food" / "0001.jpg")
    source = tmp_path / "food.pkl"
    source.write_bytes((FOLDER / "food_pandas1.pkl").read_bytes())
    [image] = add_dataset(source, home=Home(tmp_path / "home")).images()
    assert (image.name, image.captions[0]) == ("food/0001.jpg", "Grilled chicken, with rice")
