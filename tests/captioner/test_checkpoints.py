from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from golden_lm import CHECKPOINTS, FILES, GOLDEN
from safetensors.torch import load_file
from torch import Tensor

from clipcap_cli.captioner.original import read_checkpoint
from clipcap_cli.errors import InputError

CHECKS = load_file(CHECKPOINTS / "checks.safetensors")
HOSTILE = sorted((GOLDEN / "pickles" / "hostile").glob("*.pt"))


@pytest.mark.parametrize("facts", FILES, ids=lambda facts: Path(facts["file"]).stem)
def test_every_form_is_read_with_its_sizes_and_gives_the_published_prefixes(facts: dict[str, Any]) -> None:
    checkpoint = read_checkpoint(GOLDEN / facts["file"], lm_width=None if facts["with_gpt"] or facts["form"] == "transformer" else 32)
    found = (checkpoint.form, checkpoint.prefix_length, checkpoint.embedding_size, checkpoint.lm_width)
    assert found == (facts["form"], facts["prefix_length"], facts["prefix_size"], facts["n_embd"])
    if facts["form"] == "transformer":
        assert (checkpoint.clip_length, checkpoint.layers) == (facts["clip_length"], facts["num_layers"])
    assert (checkpoint.language_model is not None) == facts["with_gpt"]
    prefix = checkpoint.build(8)(CHECKS[f"{facts['check']}.embeddings"])
    torch.testing.assert_close(prefix, CHECKS[f"{facts['check']}.prefix"], atol=1e-4, rtol=1e-4)


def test_old_attention_buffers_are_left_out_and_real_biases_are_not() -> None:
    old = read_checkpoint(CHECKPOINTS / "mlp_full_old_uint8.pt").language_model
    new = read_checkpoint(CHECKPOINTS / "mlp_full.pt").language_model
    assert old is not None
    assert new is not None
    assert old.keys() == new.keys()
    assert "transformer.h.0.attn.c_attn.bias" in old


@pytest.mark.parametrize("path", HOSTILE, ids=lambda path: path.name)
def test_a_hostile_checkpoint_is_refused_and_creates_nothing(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError) as caught:
        read_checkpoint(path)
    assert "weights_only" not in str(caught.value)
    assert caught.value.hint
    assert list(tmp_path.iterdir()) == []


def test_all_hostile_checkpoints_are_here() -> None:
    listed = json.loads((GOLDEN / "pickles" / "hostile" / "list.json").read_text())
    assert sum(str(entry).count(".pt'") > 0 for entry in (listed["files"] if isinstance(listed, dict) else listed)) == len(HOSTILE) == 10


def _write(path: Path, change: Callable[[dict[str, Tensor]], None]) -> Path:
    state = torch.load(CHECKPOINTS / "mlp_map.pt", weights_only=True)
    change(state)
    torch.save(state, path)
    return path


def test_every_tensor_that_does_not_fit_is_named(tmp_path: Path) -> None:
    def spoil(state: dict[str, Tensor]) -> None:
        del state["clip_project.model.0.bias"]
        state["clip_project.model.2.bias"] = torch.zeros(7)
        state["clip_project.model.4.weight"] = torch.zeros(1)
        state["head.weight"] = torch.zeros(1)

    with pytest.raises(InputError) as caught:
        read_checkpoint(_write(tmp_path / "x.pt", spoil), lm_width=32)
    assert caught.value.message.splitlines()[1:] == [
        "  clip_project.model.0.bias is missing",
        "  clip_project.model.4.weight is left over",
        "  clip_project.model.2.bias is (7,), not (128,)",
        "  head.weight is left over",
    ]


@pytest.mark.parametrize(
    ("change", "width", "message"),
    [
        (lambda state: None, None, "without its language model it is not known how many belong to one vector"),
        (lambda state: None, 33, "no vectors of the language model's width 33"),
        (lambda state: [state.pop(key) for key in list(state) if "model.2" in key], 32, "clip_project.model.2.weight is missing"),
        (lambda state: [state.__setitem__(f"x.{key}", state.pop(key)) for key in list(state)], 32, "none of its 4 tensors begins with 'clip_project.'"),
        (lambda state: state.__setitem__("clip_project.model.0.weight", torch.zeros(3)), 32, "not a matrix"),
    ],
)
def test_shapes_that_make_no_sense_are_told(change: Any, width: int | None, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        read_checkpoint(_write(tmp_path / "x.pt", change), lm_width=width)


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "there is no such file"), (b"", "this file is empty"), (b"hello there", "this file was refused|no checkpoint that can be read")],
)
def test_a_file_of_something_else_is_told(content: bytes | None, message: str, tmp_path: Path) -> None:
    path = tmp_path / "x.pt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=message):
        read_checkpoint(path)


def test_a_folder_a_list_and_a_cut_file_are_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="this is a folder"):
        read_checkpoint(tmp_path)
    torch.save([torch.zeros(1)], tmp_path / "list.pt")
    with pytest.raises(InputError, match="something else than named tensors"):
        read_checkpoint(tmp_path / "list.pt")
    (tmp_path / "cut.pt").write_bytes((CHECKPOINTS / "mlp_full.pt").read_bytes()[:3000])
    with pytest.raises(InputError, match=r"refused|can be read"):
        read_checkpoint(tmp_path / "cut.pt")
    with pytest.raises(InputError) as caught:
        read_checkpoint(GOLDEN / "pickles" / "shared.pkl")
    assert "clipcap dataset add" in str(caught.value.hint)
