"""The folder as a whole: what is in it, that it says what torch says, and what happens when it cannot be written."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from mean_colour import ColourEncoder
from onnx_tools import FOOD, Exported, import_program
from said import Said

from clipcap_cli.captioner.captioner import Captioner
from clipcap_cli.captioner.lm_loading import load_language_model
from clipcap_cli.captioner.manifest import read_manifest
from clipcap_cli.captioner.mappers import Preparation, build_mapper
from clipcap_cli.embeddings.pipeline import encode_pictures
from clipcap_cli.encoders.registry import load_encoder
from clipcap_cli.errors import InputError, MissingError, StoreError
from clipcap_cli.events import Note, silent
from clipcap_cli.exports.onnx.exporting import export_onnx
from clipcap_cli.exports.places import check_place
from clipcap_cli.recipe.schema import Decode
from clipcap_cli.storage.hashing import sha256_of_file
from clipcap_cli.storage.home import Home

FILES = ["README.md", "caption.py", "captioner.json", "encoder.onnx", "lm.onnx", "mapper.onnx", "requirements.txt", "tokenizer.json"]
MODULE = "clipcap_cli.exports.onnx.exporting"


def of_torch(captioner: Captioner, paths: list[Path], beams: int) -> list[Any]:
    encoder = load_encoder(captioner.encoder_spec, home=captioner.home, device="cpu", precision="fp32")
    vectors = np.stack([np.asarray(vector) for _, vector in encode_pictures(paths, encoder)])
    return captioner.caption_embeddings(vectors, captioner.decode.model_copy(update={"beams": beams}))


def agree(ours: list[Any], theirs: list[Any]) -> None:
    assert [caption.tokens for caption in ours] == [caption.tokens for caption in theirs]
    assert [caption.text for caption in ours] == [caption.text for caption in theirs]
    assert [caption.score for caption in ours] == pytest.approx([caption.score for caption in theirs], abs=1e-4)


def test_clipcap_says_what_the_folder_is(exported: Exported) -> None:
    with pytest.raises(InputError, match="this is an onnx export"):
        read_manifest(exported.folder)


@pytest.mark.parametrize("beams", [1, 5])
def test_the_folder_writes_the_tokens_that_torch_writes(beams: int, exported: Exported, program: ModuleType) -> None:
    paths = FOOD[:24]
    theirs = of_torch(exported.captioner, paths, beams)
    ours = list(program.Captioner(exported.folder, threads=1).caption(paths, beams=beams, batch=7))
    assert len({caption.tokens for caption in theirs}) > 8  # it does say something else of different pictures
    agree(ours, theirs)
    for caption, other in zip(ours, theirs, strict=True):
        assert [text for text, _ in caption.candidates] == [candidate.text for candidate in other.candidates]


class Program:
    """The caption.py of a copy of the folder, as a command."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder, self._monkeypatch, self._capsys = folder, monkeypatch, capsys

    def __call__(self, *arguments: object) -> Said:
        self._monkeypatch.setattr("sys.argv", ["caption.py", *map(str, arguments)])
        try:
            code = import_program(self.folder).main()
        except SystemExit as ended:
            code = ended.code
        said = self._capsys.readouterr()
        return Said(code, said.out, said.err)


@pytest.fixture
def copied(exported: Exported, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Program:
    return Program(shutil.copytree(exported.folder, tmp_path / "food-onnx"), monkeypatch, capsys)


def test_caption_py_names_the_picture_that_cannot_be_read(copied: Program, tmp_path: Path) -> None:
    (tmp_path / "broken.jpg").write_bytes(b"not a picture")
    said = copied(FOOD[0], tmp_path / "broken.jpg", "--greedy")
    assert (said.code, said.err) == (5, f"{tmp_path / 'broken.jpg'}: this is no picture, or of a format that is not read\n")
    assert said.out.startswith(f"{FOOD[0]}: ")


def test_caption_py_says_that_a_folder_has_no_pictures(copied: Program, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert copied(tmp_path / "empty") == Said(3, "", f"no picture is in {tmp_path / 'empty'}\n")


@pytest.mark.parametrize("name", ["captioner.json", "encoder.onnx", "lm.onnx", "mapper.onnx", "tokenizer.json"])
def test_caption_py_refuses_a_folder_that_is_not_whole(name: str, copied: Program) -> None:
    path = copied.folder / name
    written = path.read_bytes()
    for spoil, why in (
        (lambda: path.write_bytes(written[:-9]), "Unterminated string" if name == "captioner.json" else "it was changed"),
        (path.unlink, "No such file or directory"),
    ):
        spoil()
        said = copied(FOOD[0])
        assert (said.code, said.out) == (3, "")
        assert said.err.startswith(f"this captioner cannot be used: {path} is not as it was exported: {why}")
        assert said.err.count("\n") == 1


def test_caption_py_may_be_changed(copied: Program) -> None:
    (copied.folder / "caption.py").write_text((copied.folder / "caption.py").read_text(encoding="utf-8") + "# mine\n", encoding="utf-8")
    assert copied(FOOD[0], "--greedy").code == 0


@pytest.mark.slow
@pytest.mark.parametrize("beams", [1, 5])
def test_of_200_photographs_the_tokens_are_those_of_torch(beams: int, tmp_path: Path, home: Home) -> None:
    folder = os.environ.get("CLIPCAP_PICTURES")
    if folder is None:
        pytest.skip("CLIPCAP_PICTURES names no folder of 200 photographs")
    paths = sorted(Path(folder).rglob("*.jpg"))[:200]
    assert len(paths) == 200
    language_model = load_language_model("builtin:nano", home=home)
    torch.manual_seed(0)
    mapper = build_mapper("mlp", embedding_size=1280, lm_width=language_model.width, prefix_length=8).eval().requires_grad_(False)
    encoder = load_encoder("efficientnet-lite0", home=home, device="cpu")
    vectors = torch.stack([torch.as_tensor(vector) for _, vector in encode_pictures(paths[:32], encoder)])
    preparation = Preparation.fitted(vectors, normalize=True)
    decode = Decode.model_validate({"max_tokens": 20})
    captioner = Captioner(encoder.spec, encoder.fingerprint, preparation, mapper, language_model, decode, home=home)
    made = export_onnx(captioner, tmp_path / "onnx", name="photographs", events=silent)
    theirs = of_torch(captioner, paths, beams)
    assert len({caption.tokens for caption in theirs}) > 50
    agree(list(import_program(made).Captioner(made).caption(paths, beams=beams)), theirs)


def test_the_folder_holds_what_it_lists_and_an_earlier_one_may_be_replaced(exported: Exported, home: Home) -> None:
    assert sorted(path.name for path in exported.folder.iterdir()) == FILES
    facts = json.loads((exported.folder / "captioner.json").read_text(encoding="utf-8"))
    assert facts["files"] == {name: sha256_of_file(exported.folder / name) for name in FILES if name not in ("README.md", "captioner.json")}
    check_place(exported.folder, folder=True, overwrite=True, home=home)
    for name in ("encoder.onnx", "mapper.onnx", "lm.onnx"):
        assert str(Path.home()).encode() not in (exported.folder / name).read_bytes()  # nothing of this machine
        assert b"site-packages" not in (exported.folder / name).read_bytes()


def test_where_files_lie_on_this_machine_is_not_told(exported: Exported) -> None:
    text = (exported.folder / "captioner.json").read_text(encoding="utf-8") + (exported.folder / "README.md").read_text(encoding="utf-8")
    assert "tiny.pt" in text
    assert str(exported.bundle.parent.parent.parent.parent) not in text


def test_eight_bits_are_smaller_store_the_matrix_of_words_once_and_still_caption(
    clipcap: Callable[..., Said], lively: Captioner, exported: Exported, tmp_path: Path, home: Home
) -> None:
    assert lively.home is not None
    made = tmp_path / "small"
    said = clipcap("export", exported.bundle, "--format", "onnx", "--int8", "--output", made, "--home", lively.home.root)
    assert said.code == 0
    assert "Warning" not in said.err  # libraries have much to remark
    assert "torch" not in said.err
    assert sorted(path.name for path in made.iterdir()) == FILES
    tables = [tensor for tensor in onnx.load(made / "lm.onnx").graph.initializer if sorted(tensor.dims) == [32, 97]]
    assert [tensor.data_type for tensor in tables] == [onnx.TensorProto.INT8]
    assert (made / "mapper.onnx").stat().st_size < 0.5 * (exported.folder / "mapper.onnx").stat().st_size
    for name in ("encoder.onnx", "tokenizer.json", "caption.py"):
        assert sha256_of_file(made / name) == sha256_of_file(exported.folder / name)  # the same bytes each time
    captions = list(import_program(made).Captioner(made, threads=1).caption(FOOD[:4]))
    assert all(caption.tokens for caption in captions)
    close = of_torch(lively, FOOD[:4], lively.decode.beams)
    assert [caption.score for caption in captions] == pytest.approx([caption.score for caption in close], abs=0.3)


def test_an_export_that_fails_in_the_middle_leaves_nothing(lively: Captioner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device", str(tmp_path / "out"))

    monkeypatch.setattr(f"{MODULE}.try_graph", full)
    with pytest.raises(StoreError, match="the disk is full"):
        export_onnx(lively, tmp_path / "out", name="x", events=silent)
    assert list(tmp_path.iterdir()) == []


def test_a_graph_that_computes_something_else_is_not_handed_out(lively: Captioner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def other(graph: Any, path: Path) -> None:
        from clipcap_cli.exports.onnx.converting import write_graph

        halved = torch.nn.Sequential(graph.module, torch.nn.Dropout(0.0), Half())
        write_graph(replace(graph, module=halved), path)

    class Half(torch.nn.Module):
        def forward(self, vectors: torch.Tensor) -> torch.Tensor:
            return vectors / 2

    monkeypatch.setattr(f"{MODULE}.write_graph", other)
    with pytest.raises(InputError, match="onnxruntime does not compute what torch does with the encoder"):
        export_onnx(lively, tmp_path / "out", name="x", events=silent)
    assert list(tmp_path.iterdir()) == []


def test_an_encoder_of_another_package_is_refused(lively: Captioner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"{MODULE}.load_encoder", lambda *_, **__: ColourEncoder())
    with pytest.raises(InputError, match="none of clipcap's own"):
        export_onnx(replace(lively, encoder_fingerprint=ColourEncoder.fingerprint), tmp_path / "out", name="x", events=silent)
    assert list(tmp_path.iterdir()) == []


def test_without_the_packages_it_is_said_how_to_get_them(lively: Captioner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingError, match="onnx and onnxscript and onnxruntime") as error:
        export_onnx(lively, tmp_path / "out", name="x", events=silent)
    assert error.value.hint == 'pip install "clipcap-cli[onnx]"'


def test_what_caption_py_cannot_do_is_said(lively: Captioner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[Any] = []
    monkeypatch.setattr(f"{MODULE}._write_graphs", lambda *_, **__: None)
    settings = {"strategy": "sample", "max_tokens": 12, "banned": ("dog",), "no_repeat_ngram": 2}
    made = export_onnx(replace(lively, decode=Decode.model_validate(settings)), tmp_path / "out", name="x", events=heard.append)
    warnings = [event.text for event in heard if isinstance(event, Note) and event.level == "warning"]
    assert len(warnings) == 2
    assert "not by sample" in warnings[0]
    assert "banned words: dog" in warnings[1]
    assert json.loads((made / "captioner.json").read_text(encoding="utf-8"))["decode"]["no_repeat_ngram"] == 2
