from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, MistralConfig, MistralForCausalLM

from clipcap_cli.captioner.language_models import LanguageModel
from clipcap_cli.captioner.lm_loading import load_language_model
from clipcap_cli.captioner.packing import packed

MakeLM = Callable[..., Path]
TOKENS = torch.randint(0, 290, (3, 24), generator=torch.Generator().manual_seed(0))
ROWS = torch.tensor([2, 0, 0, 1])


@torch.no_grad()
def step_by_step(language_model: LanguageModel) -> Tensor:
    """Logits [rows, places, vocabulary] of each place but the first four, with rows moved, doubled and left out on the way."""
    found = []
    _, cache = language_model.step(language_model.embed(TOKENS[:, :4]), None)
    cache = language_model.reorder(cache, ROWS)
    for place in range(4, TOKENS.shape[1]):
        logits, cache = language_model.step(language_model.embed(TOKENS[ROWS, place : place + 1]), cache)
        found.append(logits)
    return torch.stack(found, dim=1)


@pytest.mark.parametrize("kind", ["gpt2", "llama", "llama-tied"])
def test_captions_are_written_with_packed_weights_and_the_same_logits(kind: str, make_lm: MakeLM) -> None:
    folder = make_lm(kind)
    language_model = load_language_model(str(folder))
    with torch.no_grad():
        expected = AutoModelForCausalLM.from_pretrained(folder).eval()(TOKENS[ROWS]).logits[:, 4:]
    torch.testing.assert_close(step_by_step(language_model), expected, atol=1e-4, rtol=1e-4)
    assert {type(layer).__name__ for layer in language_model._stepper[0].modules()} >= {"_PackedLinear"}
    assert language_model.state_dict().keys() == load_language_model(str(folder)).state_dict().keys()


def test_layers_that_see_only_a_window_keep_it(make_lm: MakeLM, tmp_path: Path) -> None:
    shutil.copytree(make_lm("llama"), tmp_path, dirs_exist_ok=True)
    sizes = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 290}
    MistralForCausalLM(MistralConfig(**sizes, sliding_window=6, initializer_range=0.6, bos_token_id=0, eos_token_id=0)).save_pretrained(tmp_path)
    with torch.no_grad():
        expected = AutoModelForCausalLM.from_pretrained(tmp_path).eval()(TOKENS[ROWS]).logits[:, 4:]
    torch.testing.assert_close(step_by_step(load_language_model(str(tmp_path))), expected, atol=1e-4, rtol=1e-4)


def test_bfloat16_is_close_and_only_where_it_was_asked_for(gpt2_folder: Path) -> None:
    language_model, fast = load_language_model(str(gpt2_folder)), load_language_model(str(gpt2_folder))
    fast.step_in(torch.bfloat16)
    exact, rough = step_by_step(language_model), step_by_step(fast)
    distance = (exact - rough).abs().max() / exact.abs().max()
    assert 1e-4 < distance < 0.1
    assert rough.dtype == torch.float32


def test_weights_that_change_after_they_were_packed_are_the_ones_that_count(gpt2_folder: Path) -> None:
    language_model, other = load_language_model(str(gpt2_folder)), load_language_model(str(gpt2_folder))
    before = step_by_step(language_model)
    changed: dict[str, Any] = {key: value * 1.5 for key, value in other.state_dict().items()}
    language_model.load_state_dict(changed)
    after = step_by_step(language_model)
    assert not torch.allclose(before, after, atol=1e-2)
    language_model.requires_grad_(True)
    torch.testing.assert_close(step_by_step(language_model), after, atol=1e-4, rtol=1e-4)
    assert language_model._stepper == ()  # trained weights change at each step, and are not packed


def test_half_precision_weights_and_huge_ones_are_left_as_they_are(gpt2_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = load_language_model(str(gpt2_folder)).model
    assert packed(model, torch.float32) is not None
    assert packed(load_language_model(str(gpt2_folder), dtype=torch.bfloat16).model, torch.float32) is None
    monkeypatch.setattr("clipcap_cli.captioner.packing._GREATEST", 1000)
    assert packed(model, torch.float32) is None


def test_where_torch_cannot_pack_captions_are_written_all_the_same(gpt2_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = step_by_step(load_language_model(str(gpt2_folder)))
    monkeypatch.setattr("clipcap_cli.captioner.packing._works", lambda dtype: False)
    torch.testing.assert_close(step_by_step(load_language_model(str(gpt2_folder))), expected, atol=1e-4, rtol=1e-4)
