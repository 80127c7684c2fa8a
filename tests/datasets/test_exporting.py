"""Each layout that goes out is read again with the same pictures, captions and splits."""

from __future__ import annotations

import json
import os
import zipfile
from pathlib import Path

import pytest
from PIL import Image

from clipcap_cli.datasets.adding import add_dataset
from clipcap_cli.datasets.dataset import Dataset
from clipcap_cli.datasets.exporting import WRITERS, export_dataset
from clipcap_cli.datasets.manifest import Provenance
from clipcap_cli.datasets.versions import Picture
from clipcap_cli.datasets.writers.written import named
from clipcap_cli.errors import InputError
from clipcap_cli.storage.home import Home

CAPTIONS = {
    "train/a.jpg": ["a red dish", "un plat à l'ancienne, « rouge »"],
    "train/deep/er/b.v2.png": ['it says "hello", twice | once', "=1+1"],
    "train/c d.webp": ["日本の料理"],
    "val/a.jpg": ["a caption", "another; with a semicolon", "a third\twith a tab"],
    "test/e.PNG": ["{'not': 'json'}"],
}


@pytest.fixture
def dataset(tmp_path: Path, home: Home) -> Dataset:
    """Five pictures in three splits; two have the same name in different folders."""
    for number, (name, captions) in enumerate(CAPTIONS.items()):
        path = tmp_path / "dishes" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (10 + number, 8), (number * 50, 0, 0)).save(path)
        path.with_suffix(".txt").write_text("\n".join(captions), encoding="utf-8")
    return add_dataset(tmp_path / "dishes", home=home, provenance=Provenance(licence="CC0"))


def told(dataset: Dataset) -> dict[str, tuple[str | None, tuple[str, ...]]]:
    return {image.image_id: (image.split, image.captions) for image in dataset.images()}


@pytest.mark.parametrize("layout", WRITERS)
@pytest.mark.parametrize("ending", ["", ".zip", ".tar.gz"])
def test_what_goes_out_comes_in_again(layout: str, ending: str, dataset: Dataset, tmp_path: Path) -> None:
    output = tmp_path / f"out{ending}"
    exported = export_dataset(dataset, layout, output)
    assert (exported.pictures, exported.captions, exported.without_file) == (5, 9, ())
    other = Home(tmp_path / "other")
    again = add_dataset(output, home=other)
    assert told(again) == told(dataset), again.layout
    assert again.problem_counts == {}
    assert add_dataset(output, home=other).version == 1, "added again, nothing has changed"
    assert not list(other.images.glob(".*")), "nothing is left of the unpacking"


@pytest.mark.parametrize("layout", WRITERS)
def test_one_split_goes_out_alone(layout: str, dataset: Dataset, tmp_path: Path) -> None:
    assert export_dataset(dataset, layout, tmp_path / "out", split="train").pictures == 3
    again = add_dataset(tmp_path / "out", name="again", home=Home(tmp_path / "other"))
    assert {image_id: captions for image_id, (_, captions) in told(again).items()} == {image.image_id: image.captions for image in dataset.images("train")}


@pytest.mark.parametrize("layout", WRITERS)
def test_the_same_dataset_makes_the_same_bytes(layout: str, dataset: Dataset, tmp_path: Path) -> None:
    for name in ("one", "two"):
        export_dataset(dataset, layout, tmp_path / name)
    one, two = ({path.relative_to(tmp_path / name): path.read_bytes() for path in (tmp_path / name).rglob("*") if path.is_file()} for name in ("one", "two"))
    assert one == two


def test_a_folder_is_only_replaced_if_it_is_an_earlier_export(dataset: Dataset, tmp_path: Path) -> None:
    output = tmp_path / "out"
    export_dataset(dataset, "coco", output)
    with pytest.raises(InputError, match="something is there already"):
        export_dataset(dataset, "coco", output)
    export_dataset(dataset, "sidecar", output, overwrite=True)
    assert not (output / "annotations").exists()
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.txt").write_text("years of work")
    with pytest.raises(InputError, match="no earlier export"):
        export_dataset(dataset, "coco", mine, overwrite=True)
    assert (mine / "thesis.txt").exists()
    with pytest.raises(InputError, match="inside clipcap's own store"):
        export_dataset(dataset, "coco", dataset.home.root / "out")
    with pytest.raises(InputError, match="has no split 'dev'"):
        export_dataset(dataset, "coco", tmp_path / "new", split="dev")


def test_linked_pictures_take_no_room_and_licence_goes_along(dataset: Dataset, tmp_path: Path) -> None:
    export_dataset(dataset, "metadata", tmp_path / "out", link=True)
    assert all(path.stat().st_nlink == 2 for path in (tmp_path / "out" / "images").rglob("*.*") if path.is_file())
    assert json.loads((tmp_path / "out" / ".clipcap-export.json").read_text())["licence"] == "CC0"


def test_a_picture_that_is_gone_is_named_and_nothing_is_written(dataset: Dataset, tmp_path: Path) -> None:
    (dataset.source / "val" / "a.jpg").unlink()
    with pytest.raises(InputError, match="not there any more") as raised:
        export_dataset(dataset, "coco", tmp_path / "out")
    assert raised.value.where == str(dataset.source / "val" / "a.jpg")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["a.jpg", "A.JPG"], ["a.jpg", "A-2.JPG"]),
        (["../../etc/passwd", "/abs/x.png"], ["etc/passwd.bin", "abs/x.png"]),
        (["images/a/1.png", "images/2.png"], ["a/1.png", "2.png"]),
        (["a.jpg", "a.png"], ["a.jpg", "a-2.png"]),
        (["x.parquet/17", "con:1?.png"], ["x.parquet/17.bin", "con_1_.png"]),
    ],
)
def test_names_stay_within_the_folder_and_are_unlike_each_other(names: list[str], expected: list[str]) -> None:
    pictures = [(Picture("0" * 32, "x", name, None, 1, 1, 1, 1, ("a",)), Path("x.bin")) for name in names]
    assert [it.name for it in named(pictures)] == expected


def test_an_archive_holds_what_the_folder_would(dataset: Dataset, tmp_path: Path) -> None:
    export_dataset(dataset, "table", tmp_path / "out.zip")
    with zipfile.ZipFile(tmp_path / "out.zip") as archive:
        assert "captions.csv" in archive.namelist()
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith(".")) == []


FOOD = Path(__file__).resolve().parents[2] / "examples" / "food"


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Real JPEGs; with CLIPCAP_LAYOUTS=FOLDER those of any other source."""
    home = Home(tmp_path_factory.mktemp("real"))
    return add_dataset(os.environ.get("CLIPCAP_LAYOUTS", FOOD), name="real", home=home)


@pytest.mark.parametrize("layout", WRITERS)
def test_real_pictures_go_out_and_come_in_again(layout: str, real: Dataset, tmp_path: Path) -> None:
    export_dataset(real, layout, tmp_path / "out", link=True)
    again = add_dataset(tmp_path / "out", home=Home(tmp_path / "other"))
    assert (again.pictures, again.captions, again.splits()) == (real.pictures, real.captions, real.splits())
    assert told(again) == told(real)
