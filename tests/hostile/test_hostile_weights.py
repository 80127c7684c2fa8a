"""Weights from strangers: files whose headers lie, pickles under other names, models that bring code or claim to be larger than any machine."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from golden_lm import make_lm_folder
from hostile_tools import CANARY, Stage, replace, safetensors
from safetensors.torch import save

from clipcap_cli.captioner.lm_loading import load_language_model
from clipcap_cli.errors import ClipcapError
from clipcap_cli.storage.hashing import sha256_of_bytes

TENSOR = {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]}
LYING = {
    "nothing": b"",
    "seven bytes": bytes(7),
    "a length of 2^63": safetensors({}, length=2**63),
    "a length of 2^64 - 1": safetensors({}, length=2**64 - 1),
    "a length beyond the file": safetensors({}, length=10_000),
    "a length of 100 MB and more": safetensors({}, length=100_000_001),
    "a header that is no JSON": safetensors(b"{" * 100),
    "a header in brackets": safetensors(b"[" * 100_000),
    "a header that is a list": safetensors([1, 2]),
    "a header that is no text": safetensors(b"\xff" * 64),
    "offsets beyond the file": safetensors({"a": {**TENSOR, "data_offsets": [0, 2**40]}}, bytes(16)),
    "offsets backwards": safetensors({"a": {**TENSOR, "data_offsets": [16, 0]}}, bytes(16)),
    "negative offsets": safetensors({"a": {**TENSOR, "data_offsets": [-16, 0]}}, bytes(16)),
    "overlapping offsets": safetensors({"a": TENSOR, "b": {**TENSOR, "data_offsets": [8, 24]}}, bytes(24)),
    "a hole": safetensors({"a": TENSOR, "b": {**TENSOR, "data_offsets": [32, 48]}}, bytes(48)),
    "a shape that is larger": safetensors({"a": {**TENSOR, "shape": [2**20, 2**20]}}, bytes(16)),
    "a shape that overflows": safetensors({"a": {**TENSOR, "shape": [2**63, 2**63]}}, bytes(16)),
    "a negative shape": safetensors({"a": {**TENSOR, "shape": [-2, -2]}}, bytes(16)),
    "an unknown type": safetensors({"a": {**TENSOR, "dtype": "OBJECT"}}, bytes(16)),
    "another type": safetensors({"a": {**TENSOR, "dtype": "F64"}}, bytes(16)),
    "something behind": safetensors({"a": TENSOR}, bytes(99)),
    "one name twice": safetensors(b'{"a":' + json.dumps(TENSOR).encode() + b',"a":' + json.dumps(TENSOR).encode() + b"}", bytes(16)),
    "other tensors": save({"a": torch.zeros(2, 2)}),
    "tensors without numbers": save({"a": torch.zeros(0)}),
    "a pickle": b"cposix\nsystem\n(S'echo > $CLIPCAP_CANARY'\ntR.",
}


def _listed(folder: Path, name: str, data: bytes) -> None:
    """Another file in a bundle, with its hash where captioner.json has it: whoever sends a bundle can write both."""
    facts = json.loads((folder / "captioner.json").read_text())
    facts["files"][name] = sha256_of_bytes(data)
    replace(folder / name, data)
    replace(folder / "captioner.json", json.dumps(facts).encode())


@pytest.mark.parametrize("content", LYING)
@pytest.mark.parametrize("name", ["mapper.safetensors", "lm/model.safetensors"])
def test_a_bundle_whose_weights_lie_is_refused(name: str, content: str, stage: Stage) -> None:
    _listed(stage.home / "runs" / "quickstart" / "best", name, LYING[content])
    stage.refuses("caption", stage.pictures / "train" / "red.png")


@pytest.mark.parametrize("content", LYING)
@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
def test_an_encoder_whose_weights_lie_is_refused(suffix: str, content: str, stage: Stage) -> None:
    path = replace(stage.work / f"clip{suffix}", LYING[content])
    stage.refuses("embed", "pictures", "--encoder", f"openai:{path}", codes=(3,))


@pytest.mark.parametrize("content", LYING)
def test_a_checkpoint_that_is_none_is_refused(content: str, stage: Stage) -> None:
    stage.refuses("model", "import", replace(stage.work / "coco.pt", LYING[content]), codes=(3,))


def _edit(**changes: Any) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps({**config, **changes}))

    return edit


def _with_code(folder: Path) -> None:
    _edit(auto_map={"AutoConfig": "canary.Config", "AutoModelForCausalLM": "canary.Model", "AutoTokenizer": "canary.Tokenizer"}, model_type="canary")(folder)
    tokenizer = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(
        json.dumps({**tokenizer, "auto_map": {"AutoTokenizer": ["canary.Tokenizer", None]}, "tokenizer_class": "Canary"})
    )


def _pickled(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(LYING["a pickle"])


def _index_elsewhere(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": {"wte.weight": "../../outside/precious.txt"}}))
    (folder / "x.safetensors").write_bytes(b"")


def _pipe(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    os.mkfifo(folder / "model.safetensors")


def _written(name: str, text: str) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        (folder / name).write_text(text)

    return write


FOLDERS: dict[str, Callable[[Path], None]] = {
    "brings code": _with_code,
    "has its weights as a pickle only": _pickled,
    "claims 10^12 numbers in its vocabulary": _edit(vocab_size=10**9, n_embd=10**3),
    "claims vectors of 10^7": _edit(n_embd=10**7 // 4 * 4),
    "claims 10^6 layers": _edit(n_layer=10**6),
    "claims 10^18 positions": _edit(n_positions=10**18),
    "claims no layers": _edit(n_layer=-1),
    "claims a width of nothing": _edit(n_embd=0),
    "claims NaN": _written("config.json", '{"model_type": "gpt2", "n_embd": NaN}'),
    "is of a type that is none": _edit(model_type="../../x"),
    "is of an architecture of the system": _edit(architectures=["os.system"], model_type="gpt2x"),
    "has brackets for a configuration": _written("config.json", "[" * 100_000),
    "has brackets for a tokenizer": _written("tokenizer.json", '{"a":' * 100_000),
    "has an index that leads elsewhere": _index_elsewhere,
    "has a pipe for weights": _pipe,
}


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small language model that is what it says."""
    return make_lm_folder(tmp_path_factory.mktemp("lm") / "lm")


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_language_model_that_lies_is_refused_and_no_code_beside_it_is_run(folder: str, honest: Path, stage: Stage) -> None:
    place = stage.work / "lm"
    shutil.copytree(honest, place)
    (place / "canary.py").write_text(CANARY)
    FOLDERS[folder](place)
    with pytest.raises(ClipcapError):
        load_language_model(str(place))
