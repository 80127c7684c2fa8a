"""Bundles from elsewhere: what comes in, and what is refused."""

from __future__ import annotations

import io
import json
import os
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from clipcap_cli.captioner.bundle import load_bundle, save_bundle
from clipcap_cli.captioner.captioner import Captioner
from clipcap_cli.captioner.importing import import_model
from clipcap_cli.captioner.manifest import belongs, read_manifest
from clipcap_cli.captioner.tar import write_tar
from clipcap_cli.errors import ClipcapError, InputError, StoreError
from clipcap_cli.events import Note
from clipcap_cli.storage.home import Home

MakeCaptioner = Callable[..., Captioner]


@pytest.fixture
def bundle(make_captioner: MakeCaptioner, tmp_path: Path) -> Path:
    """A bundle with its language model inside."""
    save_bundle(make_captioner(), tmp_path / "food-1.2", self_contained=True)
    return tmp_path / "food-1.2"


def outside(tmp_path: Path) -> set[str]:
    return {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")}


def test_a_folder_and_its_tar_become_the_same_model(bundle: Path, home: Home, tmp_path: Path) -> None:
    write_tar(bundle, tmp_path / "food.tar", name="food")
    (bundle / "notes.txt").write_text("beside it, and nobody's business")
    heard: list[Any] = []
    names = [import_model(path, home=home, events=heard.append) for path in (bundle, tmp_path / "food.tar", bundle)]
    assert names == ["food-1.2", "food", "food-1.2-2"]
    assert [event.text for event in heard if isinstance(event, Note)] == [
        "there is a model 'food-1.2' already, so this one is 'food-1.2-2' (--replace takes its place)"
    ]
    models = [{path.relative_to(model).as_posix(): path.read_bytes() for path in model.rglob("*") if path.is_file()} for model in home.models.iterdir()]
    assert models[0] == models[1] == models[2]
    assert "notes.txt" not in models[0]
    load_bundle(home.models / "food", home=home)


def test_the_folder_of_a_run_is_its_best(bundle: Path, home: Home, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    bundle.rename(tmp_path / "run" / "best")
    assert import_model(tmp_path / "run", home=home) == "run"


def test_a_model_of_that_name_is_replaced_only_if_asked(bundle: Path, home: Home) -> None:
    assert import_model(bundle, name="mine", home=home) == "mine"
    with pytest.raises(InputError, match="there is a model 'mine' already"):
        import_model(bundle, name="mine", home=home)
    assert import_model(bundle, name="mine", replace=True, home=home) == "mine"
    with pytest.raises(InputError, match="cannot name a model"):
        import_model(bundle, name="../mine", home=home)


def test_what_a_bundle_says_itself_is_not_asked(bundle: Path, home: Home) -> None:
    for asked in ({"encoder": "openai:ViT-B/32"}, {"normalize": False}, {"language_model": "gpt2"}, {"heads": 8}):
        with pytest.raises(InputError, match="a bundle says its encoder"):
            import_model(bundle, home=home, **asked)


def test_files_are_compared_with_their_hashes(bundle: Path, home: Home, tmp_path: Path) -> None:
    path = bundle / "lm" / "config.json"
    path.write_text(path.read_text() + " ")
    write_tar(bundle, tmp_path / "food.tar", name="food")
    for source in (bundle, tmp_path / "food.tar"):
        with pytest.raises(StoreError, match=r"damaged: lm/config\.json was changed") as caught:
            import_model(source, home=home)
        assert caught.value.where == str(source)
    assert list(home.models.iterdir()) == []


@pytest.mark.parametrize("name", ["lm/pytorch_model.bin", "lm/modeling.py", "encoder/clip.pt", "lm/.hidden.json", "lm/a/b.json"])
def test_pickles_and_code_are_refused_even_if_they_are_listed(name: str, bundle: Path, home: Home, tmp_path: Path) -> None:
    (bundle / name).parent.mkdir(exist_ok=True)
    (bundle / name).write_bytes(b"\x80\x04.")
    write_tar(bundle, tmp_path / "food.tar", name="food")
    for source in (bundle, tmp_path / "food.tar"):
        with pytest.raises(InputError, match="which no captioner has"):
            import_model(source, home=home)
    (bundle / name).unlink()
    manifest = json.loads((bundle / "captioner.json").read_text())
    (bundle / "captioner.json").write_text(json.dumps({**manifest, "files": {**manifest["files"], name: "0" * 64}}))
    with pytest.raises(InputError, match="which no captioner has"):
        import_model(bundle, home=home)
    assert list(home.models.iterdir()) == []


@pytest.mark.parametrize("path", ["../x.json", "/etc/passwd", "lm/../../x.json", "mapper.safetensors/../x", "lm\\x.json", "lm/x.json/", "LM/x.json", ""])
def test_paths_that_lead_elsewhere_do_not_belong_to_a_bundle(path: str) -> None:
    assert not belongs(path)


def _member(name: str, data: bytes = b"x", **changes: Any) -> tuple[tarfile.TarInfo, bytes]:
    member = tarfile.TarInfo(name)
    member.size = len(data)
    for key, value in changes.items():
        setattr(member, key, value)
    return member, data


HOSTILE = {
    "a path above": [_member("../x.json")],
    "a path above behind the folder": [_member("food/../../x.json")],
    "an absolute path": [_member("/tmp/clipcap-hostile.json")],
    "a symlink": [_member("food/captioner.json", b"", type=tarfile.SYMTYPE, linkname="/etc/passwd")],
    "a symlink for a folder": [_member("food/lm", b"", type=tarfile.SYMTYPE, linkname="/tmp"), _member("food/lm/x.json")],
    "a hard link": [_member("food/captioner.json", b"", type=tarfile.LNKTYPE, linkname="/etc/passwd")],
    "a device": [_member("food/captioner.json", b"", type=tarfile.CHRTYPE)],
    "a pipe": [_member("food/captioner.json", b"", type=tarfile.FIFOTYPE)],
    "a pickle": [_member("food/lm/pytorch_model.bin")],
    "code": [_member("food/lm/modeling.py")],
    "a file twice": [_member("food/captioner.json"), _member("food/captioner.json")],
    "two folders": [_member("food/captioner.json"), _member("sea/mapper.safetensors")],
    "no folder": [_member("captioner.json")],
    "no captioner.json": [_member("food/mapper.safetensors")],
    "a thousand files": [_member(f"food/lm/{number}.json") for number in range(1100)],
    "a captioner.json of a gigabyte": [_member("food/captioner.json", b" " * ((1 << 24) + 1))],
    "nothing": [],
}


@pytest.mark.parametrize("what", HOSTILE)
def test_a_hostile_tar_is_refused_and_leaves_nothing(what: str, home: Home, tmp_path: Path) -> None:
    path = tmp_path / "food.tar"
    with tarfile.open(path, "w") as archive:
        for member, data in HOSTILE[what]:
            archive.addfile(member, io.BytesIO(data) if data else None)
    before = outside(tmp_path)
    with pytest.raises(InputError, match=r"this tar was refused|no tar that can be read") as caught:
        import_model(path, home=home)
    assert caught.value.where == str(path)
    assert outside(tmp_path) - before <= {"home", "home/home.json", "home/models"}


def _sparse(path: Path) -> None:
    """A terabyte of nothing, in a kilobyte."""
    member = tarfile.TarInfo("food/mapper.safetensors")
    headers = {"GNU.sparse.major": "0", "GNU.sparse.minor": "1", "GNU.sparse.map": "0,0", "GNU.sparse.size": str(1 << 40)}
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as archive:
        member.pax_headers = headers
        archive.addfile(member)


def _long_header(path: Path) -> None:
    """A header that asks for 64 MB of memory."""
    member = tarfile.TarInfo("food/captioner.json")
    member.pax_headers = {"comment": "x" * (1 << 26)}
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as archive:
        archive.addfile(member)


def _lying_size(path: Path) -> None:
    """A file of a terabyte, of which ten bytes are there."""
    member = tarfile.TarInfo("food/mapper.safetensors")
    member.size = 1 << 40
    path.write_bytes(member.tobuf(tarfile.GNU_FORMAT) + b"0123456789")


def _compressed(path: Path) -> None:
    with tarfile.open(path, "w:gz") as archive:
        archive.addfile(*_member("food/captioner.json")[:1], io.BytesIO(b"x"))


@pytest.mark.parametrize("write", [_sparse, _long_header, _lying_size, _compressed, lambda path: path.write_bytes(os.urandom(5000)), lambda path: path.touch()])
def test_a_tar_cannot_ask_for_memory_or_disk_that_it_does_not_fill(write: Callable[[Path], None], home: Home, tmp_path: Path) -> None:
    write(tmp_path / "food.tar")
    with pytest.raises(ClipcapError, match=r"this tar was refused|no tar that can be read"):
        import_model(tmp_path / "food.tar", home=home)
    assert list(home.models.iterdir()) == []


def test_a_captioner_json_that_is_larger_than_any_is_not_read(bundle: Path) -> None:
    with (bundle / "captioner.json").open("r+b") as stream:
        stream.truncate(1 << 30)
    with pytest.raises(InputError, match=r"has 1,073,741,824 bytes"):
        read_manifest(bundle)


def test_an_encoder_path_that_leads_out_of_the_bundle_is_refused(bundle: Path) -> None:
    manifest = json.loads((bundle / "captioner.json").read_text())
    for path in ("../clip.safetensors", "encoder/../../x", "/etc/passwd", "lm"):
        inside = {"family": "openai", "path": path, "fingerprint": "0"}
        (bundle / "captioner.json").write_text(json.dumps({**manifest, "format": 2, "encoder": {**manifest["encoder"], "inside": inside}}))
        with pytest.raises(InputError, match=r"encoder\.inside\.path"):
            read_manifest(bundle)


def test_an_onnx_export_is_called_so_in_a_tar_too(home: Home, tmp_path: Path) -> None:
    folder = tmp_path / "food-onnx"
    folder.mkdir()
    for name, text in (("README.md", ""), ("caption.py", ""), ("captioner.json", '{"kind": "onnx", "format": 1}'), ("lm.onnx", "")):
        (folder / name).write_text(text)
    write_tar(folder, tmp_path / "food-onnx.tar", name="food-onnx")
    for source, hint in (
        (folder, f"python {folder / 'caption.py'} PICTURE"),
        (tmp_path / "food-onnx.tar", "Unpack it; in its folder: python caption.py PICTURE"),
    ):
        with pytest.raises(InputError, match="this is an onnx export, which captions by itself and not through clipcap") as caught:
            import_model(source, home=home)
        assert (caught.value.where, caught.value.hint) == (str(source), hint)


def test_what_is_not_there_is_told(home: Home, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="this file cannot be read: No such file"):
        import_model(tmp_path / "none.tar", home=home)
    with pytest.raises(InputError, match="no captioner is here"):
        import_model(tmp_path, home=home)
    with pytest.raises(InputError, match="there is no such file"):
        import_model(tmp_path / "none.pt", home=home, encoder="openai:ViT-B/32")
