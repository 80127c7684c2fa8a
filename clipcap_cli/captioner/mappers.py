"""From an embedding to the prefix: what is done to the embedding first, and the three mappers.

Comes in: embeddings [n, embedding_size]. Goes out: prefixes [n, prefix_length, lm_width]. The tensors have the names of the published checkpoints, without
their "clip_project." in front.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from clipcap_cli.errors import InputError
from clipcap_cli.storage.names import unknown

_LEAST_NORM = 1e-12  # keeps an all-zero embedding finite; the default of torch.nn.functional.normalize
_ROUNDING = 1e-6  # a deviation below this share of the mean is only fp32 rounding
_EXAMPLE_HEADS = 32  # the hint lists no more heads than anybody would choose


class Preparation(nn.Module):
    """What is done to an embedding before the mapper: length one, then shifted and scaled.

    Args:
        normalize: divide each embedding by its length (L2).
        mean, scale: [embedding_size] each; `(x - mean) * scale` is taken after that. Both or neither.
    """

    mean: Tensor | None
    scale: Tensor | None

    def __init__(self, normalize: bool, mean: Tensor | None = None, scale: Tensor | None = None) -> None:
        super().__init__()
        if (mean is None) != (scale is None):
            raise ValueError("mean and scale come together")
        self.normalize = normalize
        self.register_buffer("mean", mean)
        self.register_buffer("scale", scale)

    def forward(self, embeddings: Tensor) -> Tensor:
        """Raw embeddings [n, embedding_size] to prepared ones of the same shape."""
        if self.normalize:
            embeddings = F.normalize(embeddings, dim=-1, eps=_LEAST_NORM)
        if self.mean is not None and self.scale is not None:
            embeddings = (embeddings - self.mean) * self.scale
        return embeddings

    @classmethod
    def fitted(cls, embeddings: Tensor, *, normalize: bool) -> Preparation:
        """The preparation that brings each dimension of these embeddings [n, embedding_size] to mean 0 and deviation 1.

        A dimension that never changes is only shifted.
        """
        plain = F.normalize(embeddings.float(), dim=-1, eps=_LEAST_NORM) if normalize else embeddings.float()
        deviation, mean = torch.std_mean(plain, dim=0, correction=0)
        varies = deviation > _ROUNDING * mean.abs()
        return cls(normalize, mean, torch.where(varies, deviation, torch.ones_like(deviation)).reciprocal())


class MlpMapper(nn.Module):
    """Two layers with a tanh between them.

    Source: ClipCap (arXiv 2111.09734), section 3.2, "MLP mapping network".
    """

    def __init__(self, *, embedding_size: int, lm_width: int, prefix_length: int) -> None:
        super().__init__()
        self.embedding_size, self.lm_width, self.prefix_length = embedding_size, lm_width, prefix_length
        hidden = lm_width * prefix_length // 2
        self.model = nn.Sequential(nn.Linear(embedding_size, hidden), nn.Tanh(), nn.Linear(hidden, lm_width * prefix_length))

    @property
    def settings(self) -> dict[str, str | int]:
        """What `build_mapper` makes the same shapes from, but for the sizes at both ends."""
        return {"kind": "mlp", "prefix_length": self.prefix_length}

    def forward(self, embeddings: Tensor) -> Tensor:
        """Embeddings [n, embedding_size] to prefixes [n, prefix_length, lm_width]."""
        prefix: Tensor = self.model(embeddings)
        return prefix.view(-1, self.prefix_length, self.lm_width)


class LinearMapper(nn.Linear):
    """One layer; in the published predictor it is what reads mappers of more than ten vectors."""

    def __init__(self, *, embedding_size: int, lm_width: int, prefix_length: int) -> None:
        super().__init__(embedding_size, lm_width * prefix_length)
        self.embedding_size, self.lm_width, self.prefix_length = embedding_size, lm_width, prefix_length

    @property
    def settings(self) -> dict[str, str | int]:
        """What `build_mapper` makes the same shapes from, but for the sizes at both ends."""
        return {"kind": "linear", "prefix_length": self.prefix_length}

    def forward(self, embeddings: Tensor) -> Tensor:
        """Embeddings [n, embedding_size] to prefixes [n, prefix_length, lm_width]."""
        return super().forward(embeddings).view(-1, self.prefix_length, self.lm_width)


class TransformerMapper(nn.Module):
    """The embedding spread over `clip_length` vectors, and learned constants that read them.

    Source: ClipCap (arXiv 2111.09734), section 3.2, "Transformer mapping network".
    """

    def __init__(self, *, embedding_size: int, lm_width: int, prefix_length: int, clip_length: int, layers: int, heads: int) -> None:
        super().__init__()
        self.embedding_size, self.lm_width, self.prefix_length = embedding_size, lm_width, prefix_length
        self.clip_length, self.heads = clip_length, heads
        self.linear = nn.Linear(embedding_size, clip_length * lm_width)
        self.prefix_const = nn.Parameter(torch.randn(prefix_length, lm_width))
        self.transformer = _Layers(lm_width, layers, heads)

    @property
    def settings(self) -> dict[str, str | int]:
        """What `build_mapper` makes the same shapes from, but for the sizes at both ends."""
        layers = len(self.transformer.layers)
        return {"kind": "transformer", "prefix_length": self.prefix_length, "clip_length": self.clip_length, "layers": layers, "heads": self.heads}

    def forward(self, embeddings: Tensor) -> Tensor:
        """Embeddings [n, embedding_size] to prefixes [n, prefix_length, lm_width]."""
        spread = self.linear(embeddings).view(-1, self.clip_length, self.lm_width)
        constants = self.prefix_const.expand(len(embeddings), -1, -1)
        mapped: Tensor = self.transformer(torch.cat([spread, constants], dim=1), self.prefix_length)
        return mapped


class _Layers(nn.Module):
    def __init__(self, width: int, layers: int, heads: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(_Layer(width, heads) for _ in range(layers))

    def forward(self, states: Tensor, wanted: int) -> Tensor:  # [n, clip_length + prefix_length, width] -> [n, wanted, width], the last places
        places = states.shape[1]
        for number, layer in enumerate(self.layers, 1):
            states = layer(states, wanted if number == len(self.layers) else places)  # nobody asks what the last layer makes of the others
        return states[:, -wanted:]


class _Layer(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attn = _Attention(width, heads)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = _FeedForward(width)

    def forward(self, states: Tensor, wanted: int) -> Tensor:
        states = states[:, -wanted:] + self.attn(self.norm1(states), wanted)
        out: Tensor = states + self.mlp(self.norm2(states))
        return out


class _Attention(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.to_queries = nn.Linear(width, width, bias=False)
        self.to_keys_values = nn.Linear(width, 2 * width, bias=False)  # the first half of what it gives is the keys
        self.project = nn.Linear(width, width)

    def forward(self, states: Tensor, wanted: int) -> Tensor:
        def by_head(vectors: Tensor) -> Tensor:  # [n, t, width] -> [n, heads, t, width / heads]
            return vectors.view(*vectors.shape[:2], self.heads, -1).transpose(1, 2)

        keys, values = self.to_keys_values(states).chunk(2, dim=-1)
        queries = self.to_queries(states[:, -wanted:])
        read = F.scaled_dot_product_attention(by_head(queries), by_head(keys), by_head(values))  # every place sees every place
        projected: Tensor = self.project(read.transpose(1, 2).flatten(2))
        return projected


class _FeedForward(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, 2 * width)
        self.fc2 = nn.Linear(2 * width, width)

    def forward(self, states: Tensor) -> Tensor:
        out: Tensor = self.fc2(F.relu(self.fc1(states)))
        return out


Mapper = MlpMapper | TransformerMapper | LinearMapper
KINDS = ("mlp", "transformer", "linear")


def build_mapper(kind: str, *, embedding_size: int, lm_width: int, prefix_length: int, clip_length: int = 10, layers: int = 8, heads: int = 8) -> Mapper:
    """A new mapper with random weights.

    Args:
        kind: "mlp", "transformer" or "linear".
        embedding_size: size of the vectors that come in.
        lm_width: size of the language model's own vectors.
        prefix_length: vectors that go out for each that comes in.
        clip_length, layers, heads: of the transformer; the others do not look at them.

    Raises:
        InputError: there is no such kind, or the heads do not divide the width.
    """
    if kind == "mlp":
        return MlpMapper(embedding_size=embedding_size, lm_width=lm_width, prefix_length=prefix_length)
    if kind == "linear":
        return LinearMapper(embedding_size=embedding_size, lm_width=lm_width, prefix_length=prefix_length)
    if kind != "transformer":
        raise unknown("mapper", kind, KINDS, listing="clipcap recipe show quickstart")
    if lm_width % heads:
        fitting = [number for number in range(1, min(lm_width, _EXAMPLE_HEADS) + 1) if lm_width % number == 0]
        raise InputError(
            f"{heads} attention heads do not divide the language model's width {lm_width}",
            where="mapper.heads",
            hint=f"Choose mapper.heads from {', '.join(map(str, fitting))}.",
        )
    return TransformerMapper(embedding_size=embedding_size, lm_width=lm_width, prefix_length=prefix_length, clip_length=clip_length, layers=layers, heads=heads)
