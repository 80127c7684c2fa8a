from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from clipcap_cli.captioner import bundle
from clipcap_cli.captioner.bundle import load_bundle, save_bundle
from clipcap_cli.captioner.captioner import Captioner
from clipcap_cli.captioner.mappers import Preparation
from clipcap_cli.errors import ClipcapError, InputError, StoreError
from clipcap_cli.storage.hashing import sha256_of_file

MakeCaptioner = Callable[..., Captioner]
EMBEDDINGS = np.random.default_rng(0).normal(size=(4, 6)).astype(np.float32) * 3


def captions(captioner: Captioner) -> list[Any]:
    return [(caption.text, round(caption.score, 4)) for caption in captioner.caption_embeddings(EMBEDDINGS)]


def change(path: Path, **values: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


@pytest.mark.parametrize("kind", ["mlp", "transformer", "linear"])
@pytest.mark.parametrize("standardize", [False, True])
def test_a_saved_captioner_writes_the_same_captions_when_it_is_loaded(kind: str, standardize: bool, make_captioner: MakeCaptioner, tmp_path: Path) -> None:
    preparation = Preparation.fitted(torch.randn(20, 6), normalize=True) if standardize else Preparation(True)
    captioner = make_captioner(kind=kind, preparation=preparation, beams=3)
    captioner.info["dataset"] = {"name": "food", "version": 2}
    save_bundle(captioner, tmp_path / "food")
    again = load_bundle(tmp_path / "food", device="cpu")
    assert captions(again) == captions(captioner)
    assert again.decode == captioner.decode
    assert again.info == captioner.info
    assert again.mapper.settings == captioner.mapper.settings
    assert (again.encoder_spec, again.encoder_fingerprint) == (captioner.encoder_spec, captioner.encoder_fingerprint)
    assert not any(parameter.requires_grad for parameter in again.mapper.parameters())
    assert sorted(path.name for path in (tmp_path / "food").iterdir()) == ["README.md", "captioner.json", "mapper.safetensors"]


@pytest.mark.parametrize("kind", ["gpt2", "llama", "llama-tied"])
def test_a_tuned_language_model_goes_into_the_bundle_with_its_tokenizer(kind: str, make_captioner: MakeCaptioner, make_lm: Any, tmp_path: Path) -> None:
    folder = shutil.copytree(make_lm(kind), tmp_path / "stock")
    captioner = make_captioner(folder)
    captioner.language_model.requires_grad_(True)
    with torch.no_grad():
        for parameter in captioner.language_model.parameters():
            parameter += 0.02 * torch.randn_like(parameter)
    save_bundle(captioner, tmp_path / "tuned")
    expected = captions(captioner)
    shutil.rmtree(folder)
    again = load_bundle(tmp_path / "tuned", device="cpu")
    assert captions(again) == expected
    assert again.language_model.tuned
    assert again.language_model.name == str(folder)
    save_bundle(again, tmp_path / "tuned")  # onto itself, while its files are mapped
    assert captions(load_bundle(tmp_path / "tuned", device="cpu")) == expected
    assert captions(again) == expected


def test_a_self_contained_bundle_needs_nothing_else(make_captioner: MakeCaptioner, gpt2_folder: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(gpt2_folder, tmp_path / "stock")
    (folder / "notes.md").write_text("private")
    captioner = make_captioner(folder)
    save_bundle(captioner, tmp_path / "whole", self_contained=True)
    save_bundle(captioner, tmp_path / "thin")
    hidden = folder.rename(tmp_path / "hidden")
    again = load_bundle(tmp_path / "whole", device="cpu")
    assert captions(again) == captions(captioner)
    assert not again.language_model.tuned
    assert not (tmp_path / "whole" / "lm" / "notes.md").exists()
    with pytest.raises(InputError, match="a language model is a folder"):
        load_bundle(tmp_path / "thin", device="cpu")
    hidden.rename(folder)
    assert captions(load_bundle(tmp_path / "thin", device="cpu")) == captions(captioner)


def test_another_stock_language_model_under_the_same_name_is_refused(make_captioner: MakeCaptioner, gpt2_folder: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(gpt2_folder, tmp_path / "stock")
    save_bundle(make_captioner(folder), tmp_path / "food")
    tensors = load_file(folder / "model.safetensors")
    save_file({key: value + 1 for key, value in tensors.items()}, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(InputError, match="is not the one that this captioner was trained with"):
        load_bundle(tmp_path / "food", device="cpu")


def _flip_a_byte(bundle: Path) -> None:
    data = bytearray((bundle / "mapper.safetensors").read_bytes())
    data[-1] ^= 1
    (bundle / "mapper.safetensors").write_bytes(data)


def _remove_the_mapper(bundle: Path) -> None:
    (bundle / "mapper.safetensors").unlink()


def _add_to_lm(bundle: Path) -> None:
    (bundle / "lm" / "extra.py").write_text("print('hello')")


def _newer(bundle: Path) -> None:
    change(bundle / "captioner.json", format=3)


def _not_json(bundle: Path) -> None:
    (bundle / "captioner.json").write_text('{\n"format": 1,\n')


def _no_encoder(bundle: Path) -> None:
    change(bundle / "captioner.json", encoder=None)


def _other_shape(bundle: Path) -> None:
    change(bundle / "captioner.json", mapper={"kind": "mlp", "prefix_length": 3})


def _huge(bundle: Path) -> None:
    change(bundle / "captioner.json", encoder={"spec": "test:colours", "fingerprint": "x", "embedding_size": 10**12})


def _no_tensors(bundle: Path) -> None:
    (bundle / "mapper.safetensors").write_bytes(b"\x80\x04nonsense")
    files = json.loads((bundle / "captioner.json").read_text())["files"]
    change(bundle / "captioner.json", files={**files, "mapper.safetensors": sha256_of_file(bundle / "mapper.safetensors")})


@pytest.mark.parametrize(
    ("spoil", "kind", "message"),
    [
        (_flip_a_byte, StoreError, "this captioner is damaged: mapper.safetensors was changed"),
        (_remove_the_mapper, StoreError, "this captioner is damaged: mapper.safetensors is missing"),
        (_add_to_lm, StoreError, "this captioner is damaged: lm/extra.py was added"),
        (_newer, InputError, "this captioner has format 3, and this clipcap knows 2"),
        (_not_json, InputError, "captioner.json is not JSON"),
        (_no_encoder, InputError, "captioner.json is not as clipcap writes it: encoder: "),
        (_other_shape, InputError, "model.0.weight is (32, 6), not (24, 6)"),
        (_huge, InputError, "encoder.embedding_size: Input should be less than or equal to 1048576"),
        (_no_tensors, InputError, "this is no safetensors file"),
    ],
)
def test_a_spoilt_bundle_is_refused_before_anything_in_it_is_used(
    spoil: Callable[[Path], None], kind: type[ClipcapError], message: str, make_captioner: MakeCaptioner, tmp_path: Path
) -> None:
    save_bundle(make_captioner(), tmp_path / "food", self_contained=True)
    spoil(tmp_path / "food")
    with pytest.raises(kind) as caught:
        load_bundle(tmp_path / "food", device="cpu")
    assert message in caught.value.message
    assert caught.value.where is not None


def test_a_folder_without_a_bundle_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no captioner is here"):
        load_bundle(tmp_path, device="cpu")


def test_a_save_that_fails_leaves_the_old_bundle(make_captioner: MakeCaptioner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    captioner = make_captioner()
    save_bundle(captioner, tmp_path / "food")
    before = captions(captioner)

    def full(*arguments: Any) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("clipcap_cli.captioner.bundle.model_card", full)
    with pytest.raises(StoreError, match="the disk is full"):
        save_bundle(make_captioner(beams=2), tmp_path / "food")
    assert captions(load_bundle(tmp_path / "food", device="cpu")) == before
    assert [path.name for path in tmp_path.iterdir() if path.name.endswith(".part")] == []


def test_a_bundle_that_may_not_be_read_is_said(make_captioner: MakeCaptioner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> str:
        raise PermissionError(13, "Permission denied", str(path))

    save_bundle(make_captioner(), tmp_path / "food")
    monkeypatch.setattr(bundle, "sha256_of_file", refuse)
    with pytest.raises(StoreError, match="cannot be read: Permission denied"):
        load_bundle(tmp_path / "food", device="cpu")


def test_a_bundle_that_is_replaced_while_it_is_read_is_read_again(make_captioner: MakeCaptioner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As when a training finds a better one while another process captions with its best."""
    first, better = make_captioner(kind="mlp"), make_captioner(kind="linear")
    save_bundle(first, tmp_path / "best")
    real, replaced = bundle.check_files, []

    def replace_first(folder: Path, manifest: Any) -> None:
        if not replaced:
            replaced.append(save_bundle(better, folder))
        real(folder, manifest)

    monkeypatch.setattr(bundle, "check_files", replace_first)
    assert captions(load_bundle(tmp_path / "best", device="cpu")) == captions(better)


def test_the_model_card_says_what_it_was_made_of(make_captioner: MakeCaptioner, gpt2_folder: Path, tmp_path: Path) -> None:
    captioner = make_captioner()
    captioner.info["dataset"] = {"name": "food", "licence": "CC BY 4.0"}
    save_bundle(captioner, tmp_path / "food")
    card = (tmp_path / "food" / "README.md").read_text()
    for fact in ("test:colours", "mlp, 4 vectors of width 16", str(gpt2_folder), "as it is published", "CC BY 4.0"):
        assert fact in card


def test_a_captioner_is_loaded_in_the_precision_that_was_asked_for(make_captioner: Callable[..., Captioner], tmp_path: Path) -> None:
    save_bundle(make_captioner(), tmp_path / "bundle")
    prefix = torch.randn(3, 4, 16, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        exact, rough = (load_bundle(tmp_path / "bundle", precision=precision).language_model.step(prefix, None)[0] for precision in ("fp32", "bf16"))
    assert 1e-4 < (exact - rough).abs().max() < 0.1 * exact.abs().max()
    with pytest.raises(InputError, match="there is no precision 'fp8'"):
        load_bundle(tmp_path / "bundle", precision="fp8")
