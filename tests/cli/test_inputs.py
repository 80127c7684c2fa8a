from __future__ import annotations

import io
import os
import sys
from pathlib import Path

import pytest

from clipcap_cli.cli.inputs import find_pictures


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """photos/{b.jpg, a.PNG, notes.txt, sub/c.jpeg, with space.jpg, [x].jpg}; the test runs beside it."""
    for name in ("b.jpg", "a.PNG", "notes.txt", "sub/c.jpeg", "with space.jpg", "[x].jpg"):
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path / "photos"


def _found(*named: str, nul: bool = False) -> list[str]:
    inputs = find_pictures(named, nul=nul)
    assert inputs.failures == ()
    return [str(path) for path in inputs.pictures]


def _pipe(monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(data)))


def test_a_folder_stands_for_all_pictures_below_it(photos: Path) -> None:
    assert _found("photos") == ["photos/[x].jpg", "photos/a.PNG", "photos/b.jpg", "photos/sub/c.jpeg", "photos/with space.jpg"]


def test_a_pattern_that_the_shell_left_is_expanded(photos: Path) -> None:
    assert _found("photos/*.jpg") == ["photos/[x].jpg", "photos/b.jpg", "photos/with space.jpg"]
    assert _found("photos/**/*.jpeg") == ["photos/sub/c.jpeg"]
    assert _found(str(photos / "b*")) == [str(photos / "b.jpg")]


def test_a_file_whose_name_looks_like_a_pattern_is_that_file(photos: Path) -> None:
    assert _found("photos/[x].jpg") == ["photos/[x].jpg"]


def test_each_picture_comes_once_in_the_order_it_was_named(photos: Path) -> None:
    assert _found("photos/sub/c.jpeg", "photos/b.jpg", "photos/**/c*", "photos/b.jpg") == ["photos/sub/c.jpeg", "photos/b.jpg"]


def test_a_list_on_stdin_takes_the_place_of_the_dash(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _pipe(monkeypatch, b"photos/with space.jpg\r\n\nphotos/b.jpg\n")
    assert _found("photos/a.PNG", "-") == ["photos/a.PNG", "photos/with space.jpg", "photos/b.jpg"]


@pytest.mark.skipif(sys.platform == "win32", reason="names there hold no newline")
def test_names_with_newlines_and_bytes_that_are_no_text_come_through_a_nul_list(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    odd = [b"photos/new\nline.jpg", b"photos/caf\xe9.jpg"]
    for name in odd:
        Path(os.fsdecode(name)).touch()
    _pipe(monkeypatch, b"\0".join(odd) + b"\0")
    assert [os.fsencode(name) for name in _found("-", nul=True)] == odd


def test_what_is_not_there_is_named_and_the_rest_is_found(photos: Path) -> None:
    (photos / "empty").mkdir()
    inputs = find_pictures(["none.jpg", "photos/b.jpg", "*.xyz", "photos/empty"])
    assert [str(path) for path in inputs.pictures] == ["photos/b.jpg"]
    assert [str(failure) for failure in inputs.failures] == [
        "none.jpg: there is no such file or folder",
        "*.xyz: no file matches this pattern",
        "photos/empty: this folder has no pictures in it",
    ]
