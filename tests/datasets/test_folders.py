from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest

from clipcap_cli.datasets.files.folders import scan
from clipcap_cli.errors import InputError

NAMES = ("a/dog.jpg", "b/dog.jpg", "b/cat.JPG", "c/é.png", "c/12.jpg", "plain name.jpeg")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in NAMES:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    return tmp_path


@pytest.mark.parametrize(
    ("name", "beside", "found"),
    [
        ("a/dog.jpg", "", ("a/dog.jpg",)),
        ("./a/dog.jpg", "", ("a/dog.jpg",)),
        ("a\\dog.jpg", "", ("a/dog.jpg",)),
        ("dog.jpg", "", ("a/dog.jpg", "b/dog.jpg")),
        ("dog.jpg", "b", ("b/dog.jpg",)),
        ("../a/dog.jpg", "b", ("a/dog.jpg",)),
        ("cat.jpg", "", ("b/cat.JPG",)),
        ("elsewhere/cat.JPG", "", ("b/cat.JPG",)),
        (unicodedata.normalize("NFD", "é.png"), "", ("c/é.png",)),
        ("12", "", ("c/12.jpg",)),
        ("12.png", "", ()),
        ("plain name.jpeg", "", ("plain name.jpeg",)),
        ("../../../etc/passwd", "", ()),
        ("", "", ()),
    ],
)
def test_a_name_finds_its_picture(root: Path, name: str, beside: str, found: tuple[str, ...]) -> None:
    assert scan(root).find(name, beside=beside) == found


def test_a_whole_path_finds_its_picture(root: Path) -> None:
    assert scan(root).find(str(root / "a/dog.jpg")) == ("a/dog.jpg",)


def test_hidden_files_and_links_in_circles_are_left_out(root: Path) -> None:
    (root / "a/loop").symlink_to(root)
    (root / "._dog.jpg").write_bytes(b"")
    (root / "__MACOSX").mkdir()
    (root / "__MACOSX/x.jpg").write_bytes(b"")
    assert scan(root).files == tuple(sorted(NAMES))


def test_a_linked_folder_is_followed(tmp_path: Path, root: Path) -> None:
    other = tmp_path / "linking"
    other.mkdir()
    (other / "images").symlink_to(root / "a")
    assert scan(other).files == ("images/dog.jpg",)


def test_a_folder_that_is_not_there_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        scan(tmp_path / "none")
