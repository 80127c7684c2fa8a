"""What bad input gets: one message that says what, where and what to do, the right exit code, no traceback; and nothing that was there is lost."""

from __future__ import annotations

import errno
import json
import os
import shutil
import struct
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from journey_tools import Road, contents, run_command
from said import Said

from clipcap_cli.storage import atomic

pytestmark = pytest.mark.journey
Clipcap = Callable[..., Any]

SIX_MISTAKES = """\
name: "my run"
seed: -1
encodr: {name: efficientnet-lite0}
mapper: {kind: mpl, prefix_length: 0}
train: {epochs: many}
"""


def refused(said: Said, code: int, *expected: str) -> None:
    """It ended so, with one error that holds all of `expected`."""
    assert said.code == code, said.err
    assert said.err.count("Error:") == 1
    assert "Traceback" not in said.err
    for text in expected:
        assert text in said.err


def bomb(path: Path) -> None:
    """A PNG of 20,000 x 15,000 pixels in a few bytes."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 20_000, 15_000, 8, 2, 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b""))


@pytest.fixture
def unchanged(road: Road) -> Any:
    """The store and the pictures are afterwards what they were before."""
    before = contents(road.home), contents(road.pictures)
    yield
    assert (contents(road.home), contents(road.pictures)) == before


@pytest.mark.parametrize(
    ("line", "code", "expected"),
    [
        ("dataset add NOWHERE", 3, ("NOWHERE", "no such folder")),
        ("dataset show shpes", 3, ("'shpes'", "Did you mean 'shapes'?")),
        ("dataset remove shapes", 3, ("nothing was removed", "--yes")),
        ("caption NOWHERE.jpg", 3, ("NOWHERE.jpg", "no such file")),
        ("embed shapes --encoder openai:ViT-B/23", 3, ("'openai:ViT-B/23'", "Did you mean 'openai:ViT-B/")),
        ("embed shapes --encoder openai:ViT-B/32", 4, ("ViT-B/32", "offline", "by hand")),
        ("embed shapes --encoder efficientnet-lite0 --device tpu", 3, ("'tpu'",)),
        ("train quikstart", 3, ("'quikstart'", "Did you mean 'quickstart'?")),
        ("train quickstart --dataset nobody", 3, ("'nobody'",)),
        ("train quickstart --dataset shapes dataset.train=tests", 3, ("'tests'",)),
        ("train quickstart --dataset shapes language_model.name=gpt2", 4, ("gpt2", "offline", "by hand")),
        ("train quickstart --dataset shapes language_model.name=nowhere/at/all", 3, ("nowhere/at/all",)),
        ("train quickstart epochs", 2, ("'epochs'", "key.sub=value")),
        ("runs show nobody", 3, ("'nobody'",)),
        ("model use nobody", 3, ("'nobody'",)),
        ("recipe show nobody", 3, ("'nobody'",)),
    ],
)
@pytest.mark.usefixtures("unchanged")
def test_what_is_not_there_is_named_with_what_was_meant(line: str, code: int, expected: tuple[str, ...], clipcap: Clipcap) -> None:
    refused(clipcap(*line.split()), code, *expected)


@pytest.mark.usefixtures("unchanged")
def test_an_unknown_captioner_is_named_with_what_there_is(clipcap: Clipcap, road: Road) -> None:
    refused(clipcap("caption", road.pictures, "--model", "quickstrt"), 3, "'quickstrt'", "Did you mean 'quickstart'?")


@pytest.mark.usefixtures("unchanged")
def test_all_six_mistakes_of_a_recipe_are_told_at_once_with_their_lines(clipcap: Clipcap, tmp_path: Path) -> None:
    recipe = tmp_path / "mine.yaml"
    recipe.write_text(SIX_MISTAKES)
    for command in ("check", "train"):
        said = clipcap(*(("recipe", "check", recipe) if command == "check" else ("train", recipe)))
        refused(said, 3, "6 mistakes", "mine.yaml:1: name", "mine.yaml:2: seed", "'encoder'", "mine.yaml:4: mapper.kind", "mine.yaml:5: train.epochs")


@pytest.mark.usefixtures("unchanged")
def test_a_table_without_the_columns_is_refused_with_the_ones_it_has(clipcap: Clipcap, tmp_path: Path, road: Road) -> None:
    (tmp_path / "captions.csv").write_text("file,desc,lang\nred circle.jpg,a red circle,en\n")
    refused(clipcap("dataset", "add", tmp_path, "--images", road.pictures, "--image-column", "picture"), 3, "captions.csv", "'picture'", "file", "desc", "lang")


@pytest.mark.usefixtures("unchanged")
def test_an_empty_folder_is_refused(clipcap: Clipcap, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    refused(clipcap("dataset", "add", empty), 3, str(empty))
    refused(clipcap("caption", empty), 3, str(empty))


@pytest.mark.usefixtures("unchanged")
def test_pictures_that_are_none_are_named_and_the_others_captioned(clipcap: Clipcap, road: Road, tmp_path: Path) -> None:
    (tmp_path / "page.jpg").write_text("<!DOCTYPE html><html>404</html>")
    bomb(tmp_path / "bomb.png")
    shutil.copy(road.pictures / "red circle.jpg", tmp_path / "good.jpg")
    said = clipcap("caption", tmp_path)
    refused(said, 5, "page.jpg: this is a web page (HTML)", "bomb.png: this picture has 20,000 x 15,000 = 300 megapixels", "2 could not be captioned")
    assert said.out.startswith(f"{tmp_path}/good.jpg: ")
    refused(clipcap("caption", tmp_path / "page.jpg"), 3, "page.jpg: this is a web page (HTML)")


def test_pictures_that_are_none_are_left_out_of_a_dataset_and_listed(clipcap: Clipcap, road: Road, tmp_path: Path) -> None:
    (tmp_path / "page.jpg").write_text("<!DOCTYPE html><html>404</html>")
    (tmp_path / "page.txt").write_text("a page")
    bomb(tmp_path / "bomb.png")
    (tmp_path / "bomb.txt").write_text("a bomb")
    shutil.copy(road.pictures / "red circle.jpg", tmp_path / "good.jpg")
    (tmp_path / "good.txt").write_text("a [red]circle[/red] [bold\n")
    said = clipcap("dataset", "add", tmp_path, "--name", "odd")
    assert said.code == 0, said.err
    assert "odd v1: 1 picture, 1 caption" in said.out
    shown = json.loads(clipcap("dataset", "show", "odd", "--json").out)
    assert sorted(Path(problem["where"]).name for problem in shown["problem_list"]) == ["bomb.png", "page.jpg"]
    assert "    a [red]circle[/red] [bold\n" in clipcap("dataset", "show", "odd").out
    assert clipcap("dataset", "remove", "odd", "--yes").code == 0
    assert (tmp_path / "good.jpg").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="names there hold no newline")
def test_odd_file_names_go_all_the_way(clipcap: Clipcap, road: Road, tmp_path: Path) -> None:
    names = ["with space.jpg", "new\nline.jpg", "süß 日本.jpg", "[red].jpg", "-dash.jpg", os.fsdecode(b"caf\xe9.jpg")]
    folder = tmp_path / "odd names"
    folder.mkdir()
    for number, name in enumerate(names):
        shutil.copy(sorted(road.pictures.glob("*.jpg"))[number], folder / name)
        (folder / name).with_suffix(".txt").write_text("a shape")
    said = clipcap("dataset", "add", folder)
    assert said.code == 0, said.err
    # A name that is no text cannot stand in a table: that one is left out, and said to be.
    assert "5 pictures, 5 captions" in said.out
    assert "caf\\udce9.jpg" in said.out
    assert clipcap("embed", "odd-names", "--encoder", "efficientnet-lite0").code == 0
    lines = clipcap("caption", folder, "--json").out.splitlines()
    assert sorted(json.loads(line)["image"] for line in lines) == sorted(str(folder / name) for name in names)
    assert len(clipcap("caption", folder).out.splitlines()) == 6
    assert clipcap("dataset", "remove", "odd-names", "--yes").code == 0


def test_two_pictures_of_one_name_in_different_folders_are_two(clipcap: Clipcap, road: Road, tmp_path: Path) -> None:
    for folder, colour in (("one", "red"), ("two", "blue")):
        (tmp_path / "twins" / folder).mkdir(parents=True)
        shutil.copy(road.pictures / f"{colour} circle.jpg", tmp_path / "twins" / folder / "a.jpg")
        (tmp_path / "twins" / folder / "a.txt").write_text(f"a {colour} circle")
    assert clipcap("dataset", "add", tmp_path / "twins").code == 0
    shown = json.loads(clipcap("dataset", "show", "twins", "--json").out)
    assert {sample["image"]: sample["captions"] for sample in shown["samples"]} == {"one/a.jpg": ["a red circle"], "two/a.jpg": ["a blue circle"]}
    assert len(clipcap("caption", tmp_path / "twins").out.splitlines()) == 2
    assert clipcap("dataset", "remove", "twins", "--yes").code == 0


@pytest.mark.usefixtures("unchanged")
def test_a_full_disk_under_the_store_leaves_it_as_it_was(clipcap: Clipcap, road: Road, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(atomic, "_sync_file", full)
    refused(clipcap("dataset", "add", road.pictures, "--name", "again"), 6, "the disk is full", "--home")
    refused(clipcap("model", "use", "quickstart"), 6, "the disk is full")
    output = tmp_path / "captions.csv"
    output.write_text("mine")
    refused(clipcap("caption", road.pictures, "--format", "csv", "--output", output, "--overwrite"), 6, "the disk is full")
    assert output.read_text() == "mine"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_a_full_disk_under_stdout_is_told(road: Road) -> None:
    with Path("/dev/full").open("w") as full:
        ended = run_command(road.home, "dataset", "list", capture_output=False, stdout=full, stderr=-1)
    refused(Said(ended.returncode, "", ended.stderr), 6, "the disk is full")


@pytest.mark.usefixtures("unchanged")
def test_a_damaged_captioner_is_not_used(clipcap: Clipcap, road: Road, tmp_path: Path) -> None:
    bundle = shutil.copytree(road.home / "runs" / "quickstart" / "best", tmp_path / "bundle")
    weights = bundle / "mapper.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    refused(clipcap("caption", road.pictures, "--model", bundle), 6, "mapper.safetensors was changed", str(bundle))
    (bundle / "captioner.json").write_text("{}")
    refused(clipcap("caption", road.pictures, "--model", bundle), 3, "captioner.json")


@pytest.mark.usefixtures("unchanged")
def test_a_store_of_a_newer_clipcap_is_left_alone(clipcap: Clipcap, road: Road, tmp_path: Path) -> None:
    store = tmp_path / "newer"
    store.mkdir()
    (store / "home.json").write_text('{"layout": 99}')
    refused(clipcap("dataset", "add", road.pictures, "--home", store), 6, "layout 99", "Update clipcap")
    assert [path.name for path in store.iterdir()] == ["home.json"]
