"""The three networks of a captioner as graphs see them: what goes in, what comes out, and what of its shapes is free.

    encoder   pixels as bytes -> embedding; scaling is inside
    mapper    embedding -> prefix; normalising and standardising are inside
    lm        prefix or tokens, and what was read before -> logits, and what is read now

One graph of the language model serves for both: at first it gets a prefix and no tokens, then tokens and no prefix.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

from clipcap_cli.captioner.captioner import Captioner
from clipcap_cli.captioner.language_models import LanguageModel
from clipcap_cli.encoders.network import NetworkEncoder
from clipcap_cli.encoders.preprocessing import Preprocessing
from clipcap_cli.errors import InputError

# Sizes of the examples that a graph is made from: no two are the same and none is 1, which the exporter would take for fixed.
_PICTURES, _ROWS, _BEFORE, _PREFIX, _TOKENS = 2, 3, 4, 5, 6


@dataclass(frozen=True)
class Graph:
    """A network with all that is needed to write it as a graph.

    Attributes:
        what: for people, "the encoder".
        inputs, outputs: the names of its tensors.
        example: of each input; a list stands for several.
        free: of each input, its free dimensions by number: {0: "pictures"}; in the same form as `example`.
        sizes: of the free dimensions of each output, in their order.
    """

    what: str
    module: nn.Module
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    example: tuple[Any, ...]
    free: tuple[Any, ...]
    sizes: tuple[dict[int, str], ...]


def encoder_graph(encoder: NetworkEncoder) -> Graph:
    """pixels, uint8 [pictures, size, size, 3] -> embedding, float32 [pictures, embedding_size]."""
    size = encoder.image_size
    pixels = torch.zeros(_PICTURES, size, size, 3, dtype=torch.uint8)
    network = encoder.network().to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    return Graph(
        "the encoder",
        _Encoder(network, encoder.preprocessing),
        ("pixels",),
        ("embedding",),
        (pixels,),
        ({0: "pictures"},),
        ({0: "pictures"},),
    )


def mapper_graph(captioner: Captioner) -> Graph:
    """embedding, float32 [pictures, embedding_size] -> prefix, float32 [pictures, prefix_length, lm_width]."""
    vectors = torch.zeros(_PICTURES, captioner.mapper.embedding_size)
    module = nn.Sequential(captioner.preparation, captioner.mapper)
    return Graph("the mapper", module, ("embedding",), ("prefix",), (vectors,), ({0: "pictures"},), ({0: "pictures"},))


def language_model_graph(language_model: LanguageModel) -> Graph:
    """prefix, tokens, rows and the past of each layer -> logits of the last place, and the past of the next step.

    Raises:
        InputError: its layers keep something else than keys and values of the places that were read.
    """
    past = _empty_past(language_model)
    names = [f"{number}.{part}" for number in range(len(past) // 2) for part in ("key", "value")]
    example = (
        torch.zeros(_PICTURES, _PREFIX, language_model.width),
        torch.zeros(_PICTURES, _TOKENS, dtype=torch.long),
        torch.zeros(_PICTURES, dtype=torch.long),
        [torch.zeros(_ROWS, states.shape[1], _BEFORE, states.shape[3]) for states in past],
    )
    return Graph(
        "the language model",
        _LanguageModel(language_model),
        ("prefix", "tokens", "rows", *(f"past.{name}" for name in names)),
        ("logits", *(f"present.{name}" for name in names)),
        example,
        ({0: "rows", 1: "prefix_length"}, {0: "rows", 1: "tokens"}, {0: "rows"}, [{0: "rows_before", 2: "places"}] * len(past)),
        ({0: "rows"}, *[{0: "rows", 2: "places + prefix_length + tokens"}] * len(past)),
    )


class _Encoder(nn.Module):
    mean: Tensor
    std: Tensor

    def __init__(self, network: nn.Module, how: Preprocessing) -> None:
        super().__init__()
        self.network = network
        self.divisor = how.divisor
        self.register_buffer("mean", torch.tensor(how.mean).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(how.std).view(1, 3, 1, 1))

    def forward(self, pixels: Tensor) -> Tensor:
        scaled = (pixels.permute(0, 3, 1, 2).float() / self.divisor - self.mean) / self.std
        vectors: Tensor = self.network(scaled)
        return vectors.float()


class _LanguageModel(nn.Module):
    def __init__(self, language_model: LanguageModel) -> None:
        super().__init__()
        self.language_model = _for_graphs(language_model)

    def forward(self, prefix: Tensor, tokens: Tensor, rows: Tensor, past: Sequence[Tensor]) -> tuple[Tensor, list[Tensor]]:
        cache = DynamicCache()
        for number in range(len(past) // 2):
            keys, values = past[2 * number : 2 * number + 2]
            cache.update(keys.index_select(0, rows), values.index_select(0, rows), number)
        vectors = torch.cat([prefix, self.language_model.embed(tokens)], dim=1)
        logits, cache = self.language_model.step(vectors, cache)
        return logits, [states for layer in cache.layers for states in (layer.keys, layer.values)]


def _for_graphs(language_model: LanguageModel) -> LanguageModel:
    """A twin that shares all weights, and has one matrix for embedding and output where the model has one."""
    model = language_model.model
    twin = copy.deepcopy(model, {id(tensor): tensor for tensor in (*model.parameters(), *model.buffers())})
    twin.set_attn_implementation("eager")
    made = LanguageModel(twin, language_model.tokenizer, name=language_model.name, folder=language_model.folder)
    embedding, head = model.get_input_embeddings(), model.get_output_embeddings()
    if type(embedding) is nn.Embedding and type(head) is nn.Linear and head.bias is None and embedding.weight is head.weight:
        table = nn.Parameter(head.weight.detach().T.contiguous(), requires_grad=False)
        twin.set_input_embeddings(_Columns(table))
        twin.set_output_embeddings(_Product(table))
    return made.eval()


class _Product(nn.Module):
    """An output layer whose matrix [width, vocabulary] lies as runtimes multiply with it, so that none of them makes a copy."""

    def __init__(self, table: nn.Parameter) -> None:
        super().__init__()
        self.table = table

    def forward(self, hidden: Tensor) -> Tensor:
        return hidden @ self.table


class _Columns(nn.Module):
    """The embedding that takes its vectors out of the same matrix."""

    def __init__(self, table: nn.Parameter) -> None:
        super().__init__()
        self.table = table

    def forward(self, tokens: Tensor) -> Tensor:
        return self.table.index_select(1, tokens.flatten()).T.view(*tokens.shape, self.table.shape[0])  # no -1: there may be no tokens


@torch.no_grad()
def _empty_past(language_model: LanguageModel) -> list[Tensor]:
    """Keys and values of each layer, [1, heads, 1, size], to read sizes from."""
    layers = DynamicCache(config=language_model.model.config).layers
    # Attention with a window needs nothing else as long as a caption is shorter than the window.
    if not layers or any(type(layer) not in (DynamicLayer, DynamicSlidingWindowLayer) for layer in layers):
        kind = language_model.model.config.model_type
        raise InputError(
            f"the language model {language_model.name!r} is a {kind}, whose layers keep more than keys and values of the places that were read",
            hint="Export it with --format bundle.",
        )
    _, cache = language_model.step(torch.zeros(1, 1, language_model.width), DynamicCache())
    return [states for layer in cache.layers for states in (layer.keys, layer.values)]
