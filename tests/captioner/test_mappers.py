from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from clipcap_cli.captioner.mappers import Preparation, build_mapper
from clipcap_cli.errors import InputError

GOLDEN = Path(__file__).parent.parent / "data" / "golden" / "decode"
MODELS = json.loads((GOLDEN / "decode.json").read_text())["models"]
SIZES: dict[str, Any] = {"embedding_size": 12, "lm_width": 16, "prefix_length": 3}


@pytest.mark.parametrize("name", MODELS)
def test_each_mapper_gives_the_published_prefixes_from_the_published_weights(name: str) -> None:
    model, io = MODELS[name], load_file(GOLDEN / f"{name}_io.safetensors")
    mapper = build_mapper(
        model["form"],
        embedding_size=model["prefix_size"],
        lm_width=io["prefix"].shape[-1],
        prefix_length=model["prefix_length"],
        clip_length=model["clip_length"] or 10,
        layers=model["num_layers"] or 8,
    )
    mapper.load_state_dict({key.removeprefix("clip_project."): value for key, value in load_file(GOLDEN / f"{name}.safetensors").items()})
    torch.testing.assert_close(mapper(io["embeddings"]), io["prefix"], atol=1e-4, rtol=0)


@pytest.mark.parametrize("kind", ["mlp", "transformer", "linear"])
def test_a_mapper_is_made_again_from_its_settings(kind: str) -> None:
    mapper = build_mapper(kind, **SIZES, clip_length=2, layers=2, heads=4)
    again = build_mapper(**mapper.settings, embedding_size=12, lm_width=16)  # type: ignore[arg-type]
    again.load_state_dict(mapper.state_dict())
    embeddings = torch.randn(5, 12)
    assert mapper(embeddings).shape == (5, 3, 16)
    assert torch.equal(mapper(embeddings), again(embeddings))


def test_heads_that_do_not_divide_the_width_are_refused_with_those_that_do() -> None:
    with pytest.raises(InputError) as caught:
        build_mapper("transformer", **SIZES, heads=5)
    assert caught.value.message == "5 attention heads do not divide the language model's width 16"
    assert caught.value.hint == "Choose mapper.heads from 1, 2, 4, 8, 16."


def test_an_unknown_mapper_is_refused_with_the_one_that_was_meant() -> None:
    with pytest.raises(InputError, match=r"'transfomer'.*'transformer'"):
        build_mapper("transfomer", **SIZES)


def test_preparation_brings_each_dimension_to_mean_0_and_deviation_1() -> None:
    embeddings = torch.randn(200, 6) * torch.tensor([1.0, 2.0, 30.0, 0.1, 1.0, 1.0]) + 7
    embeddings[:, 5] = 3.7  # never changes
    prepared = Preparation.fitted(embeddings, normalize=False)(embeddings)
    torch.testing.assert_close(prepared.mean(dim=0), torch.zeros(6), atol=1e-4, rtol=0)
    torch.testing.assert_close(prepared.std(dim=0, correction=0), torch.tensor([1.0] * 5 + [0.0]), atol=1e-4, rtol=0)


def test_preparation_normalises_and_leaves_an_empty_embedding_finite() -> None:
    prepared = Preparation(True)(torch.tensor([[3.0, 4.0], [0.0, 0.0]]))
    torch.testing.assert_close(prepared, torch.tensor([[0.6, 0.8], [0.0, 0.0]]))
    assert torch.equal(Preparation(False)(torch.tensor([[3.0, 4.0]])), torch.tensor([[3.0, 4.0]]))
