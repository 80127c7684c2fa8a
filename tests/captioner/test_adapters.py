from __future__ import annotations

import json
import shutil
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from clipcap_cli.captioner.adapters import add_adapters, merge_adapters, save_adapters
from clipcap_cli.captioner.bundle import load_bundle, save_bundle
from clipcap_cli.captioner.captioner import Captioner
from clipcap_cli.captioner.language_models import LanguageModel
from clipcap_cli.captioner.lm_loading import load_language_model
from clipcap_cli.captioner.manifest import read_manifest
from clipcap_cli.errors import InputError, MissingError

MakeLM = Callable[..., Path]
TOKENS = torch.randint(0, 290, (2, 9), generator=torch.Generator().manual_seed(0))


def adapted(folder: Path, *, rank: int = 3) -> LanguageModel:
    """A language model with adapters that have learned something."""
    language_model = load_language_model(str(folder))
    add_adapters(language_model, rank=rank, alpha=6.0)
    torch.manual_seed(3)
    for parameter in language_model.parameters():
        if parameter.requires_grad:
            torch.nn.init.normal_(parameter, std=0.3)
    return language_model


@torch.no_grad()
def logits(language_model: LanguageModel) -> torch.Tensor:
    return language_model.logits(language_model.hidden(language_model.embed(TOKENS)))


@pytest.mark.parametrize("kind", ["gpt2", "llama", "llama-tied"])
def test_only_the_adapters_are_trained_and_at_first_they_change_nothing(kind: str, make_lm: MakeLM) -> None:
    folder = make_lm(kind)
    plain, language_model = load_language_model(str(folder)), load_language_model(str(folder))
    before = {name: value.clone() for name, value in plain.state_dict().items()}
    add_adapters(language_model, rank=2, alpha=4.0)
    torch.testing.assert_close(logits(language_model), logits(plain))
    trained = [parameter for parameter in language_model.parameters() if parameter.requires_grad]
    assert trained
    assert sum(parameter.numel() for parameter in trained) < 0.5 * sum(value.numel() for value in before.values())

    optimizer = torch.optim.SGD(trained, lr=1.0)
    for _ in range(2):  # at the first step the matrix in front of zeros has no gradient
        language_model.logits(language_model.hidden(language_model.embed(TOKENS))).square().mean().backward()
        optimizer.step()
    assert not torch.allclose(logits(language_model), logits(plain))
    inside = language_model.state_dict()
    for name, value in before.items():
        adapted_name = next(
            other for other in (name, name.replace(".weight", ".base_layer.weight"), name.replace(".bias", ".base_layer.bias")) if other in inside
        )
        assert torch.equal(inside[adapted_name], value), name


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
def test_saved_adapters_give_the_same_model_again_and_peft_reads_them_too(kind: str, make_lm: MakeLM, tmp_path: Path) -> None:
    from peft import PeftModel

    folder = make_lm(kind)
    language_model = adapted(folder)
    save_adapters(language_model, tmp_path / "adapter")
    fresh = load_language_model(str(folder))
    merge_adapters(fresh, tmp_path / "adapter")
    assert fresh.tuned
    assert not any(parameter.requires_grad for parameter in fresh.parameters())
    torch.testing.assert_close(logits(fresh), logits(language_model), atol=1e-4, rtol=1e-4)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # peft asks transformers in an old way
        theirs = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(folder), tmp_path / "adapter").eval()
    with torch.no_grad():
        torch.testing.assert_close(theirs(TOKENS).logits, logits(language_model), atol=1e-4, rtol=1e-4)


def test_a_bundle_holds_the_adapters_alone_and_writes_the_same_captions(make_captioner: Callable[..., Captioner], gpt2_folder: Path, tmp_path: Path) -> None:
    captioner = make_captioner()
    captioner.language_model = adapted(gpt2_folder)
    embeddings = torch.randn(4, 6, generator=torch.Generator().manual_seed(0))
    expected = captioner.caption_embeddings(embeddings)
    save_bundle(captioner, tmp_path / "bundle")
    entry = read_manifest(tmp_path / "bundle").language_model
    assert (entry.tuned, entry.inside, entry.adapter) == (False, False, True)
    assert sorted(path.name for path in (tmp_path / "bundle").iterdir()) == ["README.md", "adapter", "captioner.json", "mapper.safetensors"]
    loaded = load_bundle(tmp_path / "bundle")
    assert [caption.tokens for caption in loaded.caption_embeddings(embeddings)] == [caption.tokens for caption in expected]
    save_bundle(loaded, tmp_path / "again")  # what is merged is saved whole
    assert [caption.tokens for caption in load_bundle(tmp_path / "again").caption_embeddings(embeddings)] == [caption.tokens for caption in expected]


def test_adapters_of_a_language_model_that_was_tuned_before_are_saved_in_its_weights(
    make_captioner: Callable[..., Captioner], gpt2_folder: Path, tmp_path: Path
) -> None:
    captioner = make_captioner()
    tuned = load_language_model(str(gpt2_folder))
    tuned.load_state_dict({name: value * 1.2 for name, value in tuned.state_dict().items()})
    add_adapters(tuned, rank=2, alpha=4.0)
    captioner.language_model = tuned
    embeddings = torch.randn(4, 6, generator=torch.Generator().manual_seed(0))
    expected = captioner.caption_embeddings(embeddings)
    save_bundle(captioner, tmp_path / "bundle")
    assert not (tmp_path / "bundle" / "adapter").exists()
    assert tuned.adapters is not None  # saving changed nothing of what is being trained
    assert [caption.tokens for caption in load_bundle(tmp_path / "bundle").caption_embeddings(embeddings)] == [caption.tokens for caption in expected]


def test_adapters_of_another_model_or_damaged_ones_are_refused(make_lm: MakeLM, gpt2_folder: Path, tmp_path: Path) -> None:
    save_adapters(adapted(gpt2_folder), tmp_path / "adapter")
    with pytest.raises(InputError, match="cannot have adapters"):
        merge_adapters(load_language_model(str(make_lm("llama"))), tmp_path / "adapter")

    tensors = load_file(tmp_path / "adapter" / "adapter_model.safetensors")
    name, value = tensors.popitem()
    save_file({**tensors, name: value[:, :1].contiguous()}, tmp_path / "adapter" / "adapter_model.safetensors")
    with pytest.raises(InputError, match="1 tensors differ"):
        merge_adapters(load_language_model(str(gpt2_folder)), tmp_path / "adapter")

    (tmp_path / "adapter" / "adapter_model.safetensors").write_bytes(b"nothing")
    with pytest.raises(InputError, match="cannot be read"):
        merge_adapters(load_language_model(str(gpt2_folder)), tmp_path / "adapter")


def test_nothing_that_an_adapter_config_names_is_imported(gpt2_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "hostile_module.py").write_text(f"open({str(tmp_path / 'made')!r}, 'w').close()")
    monkeypatch.syspath_prepend(str(tmp_path))
    save_adapters(adapted(gpt2_folder), tmp_path / "adapter")
    path = tmp_path / "adapter" / "adapter_config.json"
    config = json.loads(path.read_text())
    config |= {"auto_mapping": {"base_model_class": "X", "parent_library": "hostile_module"}, "peft_type": "hostile_module", "corda_config": {"a": 1}}
    path.write_text(json.dumps(config))
    merge_adapters(load_language_model(str(gpt2_folder)), tmp_path / "adapter")
    assert not (tmp_path / "made").exists()


def test_without_peft_the_package_is_named(gpt2_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(MissingError) as caught:
        add_adapters(load_language_model(str(gpt2_folder)), rank=2, alpha=4.0)
    assert caught.value.hint == 'pip install "clipcap-cli[lora]"'


def test_an_adapter_that_was_changed_on_disk_is_noticed(make_captioner: Callable[..., Captioner], gpt2_folder: Path, tmp_path: Path) -> None:
    captioner = make_captioner()
    captioner.language_model = adapted(gpt2_folder)
    save_bundle(captioner, tmp_path / "bundle")
    shutil.copytree(tmp_path / "bundle", tmp_path / "copy")
    path = tmp_path / "copy" / "adapter" / "adapter_config.json"
    path.write_text(path.read_text().replace('"r": 3', '"r": 4'))
    with pytest.raises(Exception, match=r"adapter/adapter_config.json was changed"):
        load_bundle(tmp_path / "copy")
