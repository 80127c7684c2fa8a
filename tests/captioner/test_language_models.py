from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import AutoModelForCausalLM

from clipcap_cli.captioner.decoding import stop_token
from clipcap_cli.captioner.lm_folders import find_folder
from clipcap_cli.captioner.lm_loading import load_language_model
from clipcap_cli.errors import InputError, MissingError
from clipcap_cli.events import Note
from clipcap_cli.storage.home import Home

MakeLM = Callable[..., Path]


@pytest.mark.parametrize("kind", ["gpt2", "llama", "llama-tied"])
def test_any_causal_language_model_gives_the_numbers_of_transformers_with_and_without_a_cache(kind: str, make_lm: MakeLM) -> None:
    folder = make_lm(kind)
    language_model, theirs = load_language_model(str(folder)), AutoModelForCausalLM.from_pretrained(folder).eval()
    tokens = torch.randint(0, language_model.vocabulary, (3, 7), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = theirs(tokens).logits
        hidden = language_model.hidden(language_model.embed(tokens))
        _, cache = language_model.step(language_model.embed(tokens[:, :4]), None)
        cache = language_model.reorder(cache, torch.tensor([2, 0, 0]))
        stepped, _ = language_model.step(language_model.embed(tokens[[2, 0, 0], 4:]), cache)
    assert language_model.output_weight is not None
    assert (language_model.width, language_model.vocabulary, language_model.max_positions) == (16, 290, 48)
    torch.testing.assert_close(language_model.logits(hidden), expected, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(hidden @ language_model.output_weight.T, expected, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(stepped, expected[[2, 0, 0], -1], atol=1e-4, rtol=1e-4)


def test_logits_that_are_no_plain_product_are_still_those_of_the_model(make_lm: MakeLM, tmp_path: Path) -> None:
    from transformers import CohereConfig, CohereForCausalLM

    shutil.copytree(make_lm("llama"), tmp_path, dirs_exist_ok=True)
    sizes = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 1, "num_attention_heads": 2, "vocab_size": 290}
    CohereForCausalLM(CohereConfig(**sizes, logit_scale=0.25, bos_token_id=0, eos_token_id=0, pad_token_id=0)).save_pretrained(tmp_path)
    language_model = load_language_model(str(tmp_path))
    tokens = torch.tensor([[3, 4, 5]])
    with torch.no_grad():
        ours = language_model.logits(language_model.hidden(language_model.embed(tokens)))
        expected = AutoModelForCausalLM.from_pretrained(tmp_path).eval()(tokens).logits
    assert language_model.output_weight is None
    torch.testing.assert_close(ours, expected, atol=1e-5, rtol=1e-4)


def test_weights_are_loaded_in_the_precision_asked_for_whatever_the_file_has(gpt2_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(gpt2_folder, tmp_path, dirs_exist_ok=True)
    halves = {key: value.half() for key, value in load_file(tmp_path / "model.safetensors").items()}
    save_file(halves, tmp_path / "model.safetensors", {"format": "pt"})
    assert {parameter.dtype for parameter in load_language_model(str(tmp_path)).parameters()} == {torch.float32}
    assert {parameter.dtype for parameter in load_language_model(str(tmp_path), dtype=torch.bfloat16).parameters()} == {torch.bfloat16}


def test_dropout_is_set_everywhere_and_weights_come_frozen(gpt2_folder: Path) -> None:
    language_model = load_language_model(str(gpt2_folder), dropout=0.25)
    rates = {module.p for module in language_model.modules() if isinstance(module, nn.Dropout)}
    assert rates == {0.25}
    assert not language_model.training
    assert not any(parameter.requires_grad for parameter in language_model.parameters())


def test_weights_that_get_gradients_or_come_from_elsewhere_count_as_tuned(gpt2_folder: Path) -> None:
    stock, trained, filled = (load_language_model(str(gpt2_folder)) for _ in range(3))
    stock.requires_grad_(False)
    trained.requires_grad_(True).requires_grad_(False)
    filled.load_state_dict(stock.state_dict())
    assert (stock.tuned, trained.tuned, filled.tuned) == (False, True, True)


def test_captions_become_tokens_and_text_again_and_no_text_is_taken_for_the_end(gpt2_folder: Path) -> None:
    language_model = load_language_model(str(gpt2_folder))
    texts = ["A dog runs.", "", "Œuf & <|end|> 🍎"]
    ids = language_model.tokenize(texts)
    assert ids[1] == []
    assert all(language_model.end_token not in tokens for tokens in ids)
    assert [language_model.detokenize(tokens) for tokens in ids] == texts
    assert language_model.detokenize([*ids[0], language_model.end_token]) == "A dog runs."
    assert language_model.tokenize([]) == []


def test_a_stop_text_must_be_one_token(gpt2_folder: Path) -> None:
    language_model = load_language_model(str(gpt2_folder))
    assert language_model.detokenize([stop_token(language_model, ".")]) == "."
    assert stop_token(language_model, None) == language_model.end_token
    with pytest.raises(InputError, match=r"'xyzzy' is \d tokens for the language model"):
        stop_token(language_model, "xyzzy")


def test_a_model_without_an_end_token_is_refused(make_lm: MakeLM) -> None:
    with pytest.raises(InputError, match="has no end token"):
        load_language_model(str(make_lm("gpt2", end=None, eos_token_id=None)))


def test_a_model_that_sees_what_comes_later_is_refused(make_lm: MakeLM, tmp_path: Path) -> None:
    from transformers import BertConfig, BertLMHeadModel

    shutil.copytree(make_lm("gpt2"), tmp_path, dirs_exist_ok=True)
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2, "vocab_size": 290, "initializer_range": 0.6}
    BertLMHeadModel(BertConfig(**sizes, is_decoder=False)).save_pretrained(tmp_path)
    with pytest.raises(InputError, match="cannot be used as a"):
        load_language_model(str(tmp_path))


def _pickled(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(b"\x80\x04.")


def _cut(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:5000])


def _lacking_a_tensor(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    del tensors["transformer.h.1.mlp.c_fc.weight"]
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})


def _of_other_shape(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "n_positions": 99}))


def _with_own_code(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    code = {"AutoConfig": "code.Config", "AutoModelForCausalLM": "code.Model"}
    (folder / "config.json").write_text(json.dumps({**config, "model_type": "ours", "auto_map": code}))
    (folder / "code.py").write_text("from pathlib import Path\nPath(__file__).with_name('ran').touch()\n")


def _without_config(folder: Path) -> None:
    (folder / "config.json").unlink()


def _without_tokenizer(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()
    (folder / "tokenizer_config.json").unlink()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_pickled, "the folder has only pytorch_model.bin, a pickle, which clipcap never opens"),
        (_cut, "this language model cannot be loaded"),
        (_lacking_a_tensor, "1 tensors are missing, the first is 'transformer.h.1.mlp.c_fc.weight'"),
        (_of_other_shape, "this language model cannot be loaded"),
        (_with_own_code, "this language model cannot be loaded"),
        (_without_config, "it has no config.json"),
        (_without_tokenizer, "the tokenizer of this language model does not fit"),
    ],
)
def test_a_spoilt_folder_is_refused_in_plain_words(
    spoil: Callable[[Path], Any], message: str, gpt2_folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(gpt2_folder, tmp_path, dirs_exist_ok=True)
    spoil(tmp_path)
    with pytest.raises(InputError) as caught:
        load_language_model(str(tmp_path))
    assert message in caught.value.message
    assert "\n" not in caught.value.message
    assert caught.value.where == str(tmp_path)
    assert not (tmp_path / "ran").exists()
    assert capfd.readouterr() == ("", "")


def test_loading_prints_nothing(gpt2_folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    language_model = load_language_model(str(gpt2_folder))
    language_model.tokenize(["A dog runs on the grass. " * 100])  # longer than the tokenizer was made for
    assert capfd.readouterr() == ("", "")


def test_a_name_is_looked_for_in_the_store_before_the_hub(gpt2_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(gpt2_folder, tmp_path / "weights" / "someone" / "small-lm")
    assert find_folder("someone/small-lm", home=Home(tmp_path)) == tmp_path / "weights" / "someone" / "small-lm"


def test_offline_a_missing_model_is_named_with_size_source_and_the_way_by_hand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLIPCAP_OFFLINE", "1")
    with pytest.raises(MissingError) as caught:
        load_language_model("gpt2-nowhere/gpt2", home=Home(tmp_path))
    assert caught.value.message == "the language model 'gpt2-nowhere/gpt2' is not here, and clipcap is offline"
    assert "https://huggingface.co/gpt2-nowhere/gpt2" in str(caught.value.hint)
    assert str(tmp_path / "weights" / "gpt2-nowhere" / "gpt2") in str(caught.value.hint)


def test_a_download_is_announced_and_its_failure_is_no_traceback(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    def fail(*arguments: Any, **options: Any) -> str:
        raise ConnectionError("no route to host\nmore")

    monkeypatch.delenv("CLIPCAP_OFFLINE", raising=False)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda *arguments, **options: None)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", fail)
    heard: list[Any] = []
    with pytest.raises(MissingError, match=r"'gpt2' \(548 MB\) could not be downloaded: no route to host$|no route to host Type") as caught:
        load_language_model("gpt2", home=Home(tmp_path), events=heard.append)
    assert "more" not in caught.value.message
    assert heard == [Note("the language model 'gpt2' (548 MB) is downloaded once, from https://huggingface.co/gpt2")]


@pytest.mark.parametrize(("name", "message"), [("./nowhere", "'./nowhere' is not there"), ("builtin:micro", "no language model named 'builtin:micro'")])
def test_a_name_that_means_nothing_is_refused(name: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        load_language_model(name)
