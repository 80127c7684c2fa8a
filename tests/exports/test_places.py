from __future__ import annotations

import os
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from said import Said

import clipcap_cli
from clipcap_cli.captioner.importing import import_model
from clipcap_cli.captioner.manifest import read_manifest
from clipcap_cli.errors import ClipcapError, InputError, StoreError
from clipcap_cli.storage.home import Home

MakeModel = Callable[..., Any]


@pytest.fixture(autouse=True)
def words(make_model: MakeModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with the model `words` in the store."""
    make_model()
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    return here


@pytest.mark.parametrize(
    ("options", "name"), [({}, "words"), ({"tar": True}, "words.tar"), ({"format": "original"}, "words.pt")], ids=["bundle", "tar", "original"]
)
def test_without_a_place_it_has_the_captioners_name_in_this_folder_and_is_replaced_only_if_asked(
    options: dict[str, Any], name: str, words: Path, home: Home
) -> None:
    made = clipcap_cli.export("words", home=home, **options)
    assert made == Path(name)
    assert [path.name for path in words.iterdir()] == [name]
    with pytest.raises(InputError, match="something is there already"):
        clipcap_cli.export("words", home=home, **options)
    assert clipcap_cli.export("words", home=home, overwrite=True, **options) == made
    assert [path.name for path in words.iterdir()] == [name]


def test_what_is_no_export_is_never_replaced(words: Path, home: Home) -> None:
    bundle = Path(clipcap_cli.export("words", home=home))
    (bundle / "mine.txt").write_text("mine")
    (words / "notes.pt").write_text("mine")
    (words / "notes.tar").write_text("mine")
    with tarfile.open(words / "more.tar", "w") as archive:  # an export, and something of the user's in it
        archive.add(bundle, "words")
    (words / "pictures").mkdir()
    (words / "pictures" / "a.jpg").write_text("mine")
    (words / "link").symlink_to(words / "pictures", target_is_directory=True)
    before = {path: path.read_bytes() for path in words.rglob("*") if path.is_file()}
    for output, options in (
        ("words", {}),
        ("pictures", {}),
        ("link", {}),
        ("notes.pt", {}),
        ("notes.pt", {"format": "original"}),
        ("notes.tar", {"tar": True}),
        ("more.tar", {"tar": True}),
        ("pictures", {"tar": True}),
        ("pictures", {"format": "original"}),
    ):
        with pytest.raises(InputError, match="no earlier export"):
            clipcap_cli.export("words", output=output, overwrite=True, home=home, **options)
    assert {path: path.read_bytes() for path in words.rglob("*") if path.is_file()} == before


def test_an_empty_folder_is_filled(words: Path, home: Home) -> None:
    (words / "new").mkdir()
    assert read_manifest(Path(clipcap_cli.export("words", output="new", home=home))).encoder.embedding_size == 24


def test_nothing_is_put_into_a_file_or_into_the_store(words: Path, home: Home) -> None:
    (words / "file").write_text("mine")
    with pytest.raises(InputError, match="is a file, and nothing can be put into it"):
        clipcap_cli.export("words", output="file/out/words", home=home)
    for room in (home.models, home.runs, home.datasets):
        with pytest.raises(InputError, match="inside clipcap's own store"):
            clipcap_cli.export("words", output=room / "words", overwrite=True, home=home)


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="rights do not bind this user")
def test_a_place_that_may_not_be_written_is_a_sentence(words: Path, home: Home) -> None:
    (words / "locked").mkdir(mode=0o500)
    with pytest.raises(StoreError, match="no permission to write here"):
        clipcap_cli.export("words", output="locked/words", home=home)


def test_a_full_disk_leaves_the_earlier_export(words: Path, home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    tar = Path(clipcap_cli.export("words", tar=True, home=home))
    bundle = Path(clipcap_cli.export("words", home=home))
    before = tar.read_bytes(), (bundle / "captioner.json").read_bytes()

    def full(*arguments: Any, **options: Any) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("clipcap_cli.exports.bundle.model_card", full)
    for options in ({"tar": True}, {}):
        with pytest.raises(StoreError, match="the disk is full"):
            clipcap_cli.export("words", overwrite=True, home=home, **options)
    assert (tar.read_bytes(), (bundle / "captioner.json").read_bytes()) == before
    assert sorted(path.name for path in words.iterdir()) == ["words", "words.tar"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"format": "onix"}, "there is no format 'onix'; did you mean 'onnx'"),
        ({"repo": "me/words"}, "--repo has no effect on the format bundle"),
        ({"format": "original", "self_contained": True}, "--self-contained has no effect on the format original"),
        ({"format": "original", "licence": "mit"}, "--license has no effect"),
        ({"old_buffers": False}, "--no-old-buffers has no effect"),
        ({"int8": True}, "--int8 has no effect on the format bundle"),
        ({"format": "hub"}, "it is not said where on the hub"),
        ({"format": "hub", "repo": "me/words", "output": "x"}, "--output has no effect on the format hub"),
        ({"format": "hub", "repo": "words"}, "'words' cannot name a repository"),
        ({"format": "hub", "repo": "me/../x"}, "cannot name a repository"),
        ({"format": "hub", "repo": "me/words/x"}, "cannot name a repository"),
    ],
)
def test_what_would_have_no_effect_is_refused(options: dict[str, Any], message: str, words: Path, home: Home) -> None:
    with pytest.raises(InputError) as caught:
        clipcap_cli.export("words", home=home, **options)
    assert message in str(caught.value)
    assert list(words.iterdir()) == []


def test_an_unknown_captioner_is_named_with_the_nearest(home: Home) -> None:
    with pytest.raises(ClipcapError, match="Did you mean 'words'"):
        clipcap_cli.export("wrods", home=home)


def test_the_room_and_the_function_of_one_name_do_not_hide_each_other(home: Home) -> None:
    import clipcap_cli.exports.exporting

    assert clipcap_cli.exports.exporting.FORMATS == ("bundle", "original", "onnx", "hub")
    assert clipcap_cli.export("words", home=home) == Path("words")


def tops(tar: Path) -> set[str]:
    with tarfile.open(tar) as archive:
        return {member.name.partition("/")[0] for member in archive}


def test_a_tar_unpacks_into_a_folder_of_its_own_name_and_comes_in_whatever_that_is(words: Path, home: Home) -> None:
    for output, folder in ((None, "words"), ("sc.tar", "sc"), ("v1.2.tar", "v1.2"), ("of mine!.tar", "of-mine"), ("bare", "bare")):
        assert tops(Path(clipcap_cli.export("words", output=output, tar=True, home=home))) == {folder}
    (words / "sc.tar").rename(words / "other.tar")
    assert import_model(words / "other.tar", home=home) == "other"


def test_the_bundle_in_this_folder_is_hinted_at_and_not_the_model_of_its_name(clipcap: Callable[..., Said], words: Path) -> None:
    assert clipcap("export", "words").err.splitlines()[-1] == "Next: clipcap caption PICTURE --model ./words"
    assert clipcap("export", "words", "--output", "out/words").err.splitlines()[-1] == "Next: clipcap caption PICTURE --model out/words"
    assert clipcap("export", "words", "--tar").err.splitlines()[-1] == "Next: clipcap model import words.tar"


@pytest.mark.parametrize("tar", [False, True])
def test_an_onnx_folder_is_put_in_its_place_like_any_other(tar: bool, words: Path, home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def export_onnx(captioner: Any, folder: Path, *, int8: bool, name: str, events: Any) -> Path:
        asked.append((captioner.mapper.prefix_length, int8, name))
        (folder / "tokenizer").mkdir(parents=True)
        (folder / "captioner.json").write_text('{"files": {"tokenizer/tokenizer.json": "0"}}')
        (folder / "tokenizer" / "tokenizer.json").write_text("{}")
        return folder

    monkeypatch.setitem(sys.modules, "clipcap_cli.exports.onnx.exporting", SimpleNamespace(export_onnx=export_onnx))  # type: ignore[arg-type]
    for overwrite in (False, True):
        assert clipcap_cli.export("words", "onnx", int8=True, tar=tar, overwrite=overwrite, home=home) == Path("words-onnx.tar" if tar else "words-onnx")
    assert asked == [(4, True, "words")] * 2
    if tar:
        assert tops(words / "words-onnx.tar") == {"words-onnx"}
    else:
        assert sorted(path.relative_to(words).as_posix() for path in words.rglob("*.json")) == [
            "words-onnx/captioner.json",
            "words-onnx/tokenizer/tokenizer.json",
        ]
