from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from golden_lm import CHECKPOINTS, FILES, make_lm_folder
from torch import Tensor
from transformers import GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

import clipcap_cli
from clipcap_cli.captioner import importing
from clipcap_cli.captioner.bundle import load_bundle, save_bundle
from clipcap_cli.captioner.captioner import Captioner
from clipcap_cli.captioner.importing import import_checkpoint
from clipcap_cli.captioner.mappers import Preparation
from clipcap_cli.errors import InputError
from clipcap_cli.events import Note
from clipcap_cli.storage.home import Home

MakeModel = Callable[..., Captioner]
WHOLE = [facts for facts in FILES if facts["with_gpt"]]


class Eyes:
    """An encoder of any size."""

    fingerprint, image_size, precision = "e7e5" * 4, 8, "fp32"

    def __init__(self, spec: str) -> None:
        self.spec, self.embedding_size = spec, int(spec.partition(":")[2])


def read(path: Path | str) -> dict[str, Tensor]:
    state: dict[str, Tensor] = torch.load(path, weights_only=True)
    return state


@pytest.fixture
def bring(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """A function that makes a model of a checkpoint."""
    monkeypatch.setattr(importing, "load_encoder", lambda spec, **_: Eyes(spec))

    def make(path: Path, name: str, size: int, layers: int) -> str:
        lm = tmp_path / f"lm-{layers}"
        lm = lm if lm.exists() else make_lm_folder(lm, layers=layers)
        return import_checkpoint(path, name=name, encoder=f"test:{size}", normalize=False, language_model=str(lm), home=home)

    return make


@pytest.mark.parametrize("facts", WHOLE, ids=lambda facts: Path(facts["file"]).stem)
def test_a_checkpoint_that_comes_in_goes_out_as_it_was(facts: dict[str, Any], bring: Callable[..., str], home: Home, tmp_path: Path) -> None:
    path = CHECKPOINTS.parent / facts["file"]
    bring(path, "golden", facts["prefix_size"], facts["n_layer"])
    made = clipcap_cli.export("golden", "original", tmp_path / "out.pt", old_buffers=facts["old_buffers"] is not None, home=home)
    golden, ours = read(path), read(made)
    assert ours.keys() == golden.keys()
    for key, value in golden.items():
        assert torch.equal(ours[key].to(value.dtype), value), key
    assert all(value.dtype == torch.uint8 for key, value in ours.items() if key.endswith(".attn.bias"))


def test_a_mapper_alone_comes_out_with_its_language_model(bring: Callable[..., str], home: Home, tmp_path: Path) -> None:
    """Every key: the original's loader takes no less."""
    bring(CHECKPOINTS / "mlp_map.pt", "golden", 64, 2)
    made = read(clipcap_cli.export("golden", "original", tmp_path / "out.pt", home=home))
    assert list(made) == list(read(CHECKPOINTS / "mlp_full_old_uint8.pt"))
    model = GPT2LMHeadModel(load_bundle(home.models / "golden").language_model.model.config)
    kept = {key.removeprefix("gpt."): value for key, value in made.items() if key.startswith("gpt.") and not key.endswith((".attn.bias", ".masked_bias"))}
    model.load_state_dict(kept, strict=True)


@pytest.mark.parametrize(("kind", "prefix_length"), [("mlp", 4), ("transformer", 4), ("linear", 12)])
def test_there_and_back_again_captions_are_the_same(kind: str, prefix_length: int, make_model: MakeModel, lm_folder: Path, home: Home, tmp_path: Path) -> None:
    captioner = make_model(kind=kind, prefix_length=prefix_length, tuned=True)
    made = clipcap_cli.export("words", "original", tmp_path / "words.pt", home=home)
    name = import_checkpoint(Path(made), name="back", encoder=captioner.encoder_spec, normalize=False, language_model=str(lm_folder), heads=8, home=home)
    there, back = (load_bundle(home.models / model, home=home, device="cpu") for model in ("words", name))
    for ours, theirs in ((there.mapper, back.mapper), (there.language_model, back.language_model)):
        assert all(torch.equal(value, theirs.state_dict()[key]) for key, value in ours.state_dict().items())
    embeddings = np.random.default_rng(0).normal(size=(5, 24)).astype(np.float32)
    assert back.caption_embeddings(embeddings, there.decode) == there.caption_embeddings(embeddings)


def test_adapters_are_merged(make_model: MakeModel, lm_folder: Path, home: Home, tmp_path: Path) -> None:
    pytest.importorskip("peft")
    from clipcap_cli.captioner.adapters import add_adapters

    captioner = make_model()
    before = read(clipcap_cli.export("words", "original", tmp_path / "before.pt", home=home))
    add_adapters(captioner.language_model, rank=2, alpha=4.0)
    with torch.no_grad():
        for name, parameter in captioner.language_model.named_parameters():
            if "lora_" in name:
                parameter += 0.1
    save_bundle(captioner, home.models / "adapted")
    after = read(clipcap_cli.export("adapted", "original", tmp_path / "after.pt", home=home))
    assert list(after) == list(before)
    assert not torch.equal(after["gpt.transformer.h.0.attn.c_attn.weight"], before["gpt.transformer.h.0.attn.c_attn.weight"])


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"kind": "transformer", "heads": 4}, "its mapper has 4 attention heads, and there it has 8"),
        ({"kind": "linear"}, "its mapper is linear with a prefix of 4, and there it is so only above 10"),
        ({"standardize": True}, "it standardizes embeddings"),
        ({"llama": True}, "is a llama, and there it is GPT-2"),
    ],
)
def test_what_the_original_cannot_have_is_said(
    changes: dict[str, Any], reason: str, make_model: MakeModel, lm_folder: Path, home: Home, tmp_path: Path
) -> None:
    if changes.pop("llama", False):
        folder = tmp_path / "llama"
        sizes = {"hidden_size": 32, "intermediate_size": 24, "num_hidden_layers": 1, "num_attention_heads": 2, "vocab_size": 97}
        LlamaForCausalLM(LlamaConfig(bos_token_id=0, eos_token_id=0, **sizes)).save_pretrained(folder)
        for path in lm_folder.glob("tokenizer*"):
            (folder / path.name).write_bytes(path.read_bytes())
        changes = {"language_model": str(folder)}
    standardize = changes.pop("standardize", False)
    captioner = make_model(**changes)
    if standardize:
        captioner.preparation = Preparation(False, torch.zeros(24), torch.ones(24))
        save_bundle(captioner, home.models / "words")
    with pytest.raises(InputError) as caught:
        clipcap_cli.export("words", "original", tmp_path / "out.pt", home=home)
    assert reason in caught.value.message
    assert not (tmp_path / "out.pt").exists()


def test_what_the_file_does_not_say_is_said_beside_it(make_model: MakeModel, home: Home, tmp_path: Path) -> None:
    heard: list[Any] = []
    make_model()
    clipcap_cli.export("words", "original", tmp_path / "out.pt", home=home, events=heard.append)
    notes = [event.text for event in heard if isinstance(event, Note)]
    assert "the file does not say: the encoder openai:/" in notes[0]
    assert "24 numbers a picture" in notes[0]
    assert any("the original loads the language model 'gpt2' first" in note for note in notes)
    assert any("give its class prefix_size=24" in note for note in notes)
