"""A language model whose matrices are laid out once for the processor, for writing captions on a CPU.

A step of decoding multiplies a few rows with every weight of the model. The usual product turns each matrix into the layout that its kernel wants at every
call; oneDNN can do it once. Measured with GPT-2's output layer on 2 cores: 5 rows 24 ms -> 5 ms (what reading the weights takes), 160 rows 115 ms -> 56 ms.
The operator is the one that torch's own compiler puts in the place of frozen linear layers; where a build of torch lacks it, nothing is packed.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_GREATEST = 2 * 2**30  # bytes of packed weights: they lie in memory beside the others
_ROWS = 8  # of the products that the layout is chosen for
_TOLERANCE = {torch.float32: 1e-4, torch.bfloat16: 2e-2}  # of the largest number compared


class _PackedLinear(nn.Module):
    """`x @ weight.T + bias` in `dtype`; what comes in and goes out keeps its own."""

    def __init__(self, weight: Tensor, bias: Tensor | None, dtype: torch.dtype) -> None:
        super().__init__()
        self.dtype = dtype
        self.bias = None if bias is None else bias.detach().to(dtype)
        self.weight = torch.ops.mkldnn._reorder_linear_weight(weight.detach().to(dtype).contiguous(), _ROWS)

    def forward(self, inputs: Tensor) -> Tensor:
        made: Tensor = torch.ops.mkldnn._linear_pointwise(inputs.to(self.dtype).contiguous(), self.weight, self.bias, "none", [], "")
        return made.to(inputs.dtype)


def packed(model: Any, dtype: torch.dtype) -> Any | None:
    """A copy of a model of transformers, in which linear layers are packed and everything else is shared with the model.

    Args:
        model: on the CPU.
        dtype: of the products, but for those of the output layer: float32 or bfloat16. Logits in bfloat16 would tie where float32 tells tokens apart.

    Returns:
        None where its weights are not float32 or would take too much memory, or this build of torch or processor cannot do it.
    """
    layers = {name: layer for name, layer in model.named_modules() if _weight_of(layer) is not None}
    size = sum(_weight_of(layer).numel() for layer in layers.values()) * dtype.itemsize
    if any(_weight_of(layer).dtype != torch.float32 for layer in layers.values()) or size > _GREATEST or not _works(dtype):
        return None
    output = model.get_output_embeddings()
    twin = copy.deepcopy(model, {id(tensor): tensor for tensor in (*model.parameters(), *model.buffers())})
    for name, layer in layers.items():
        parent, _, child = name.rpartition(".")
        setattr(twin.get_submodule(parent), child, _PackedLinear(_weight_of(layer), layer.bias, torch.float32 if layer is output else dtype))
    return twin


def _weight_of(layer: Any) -> Any:
    """[outputs, inputs] of a linear layer; None of any other."""
    if type(layer) is nn.Linear:
        return layer.weight
    return layer.weight.T if type(layer).__name__ == "Conv1D" else None  # what GPT-2 calls its linear layers


def _works(dtype: torch.dtype) -> bool:
    random = torch.Generator().manual_seed(0)
    inputs, weight, bias = (torch.randn(*shape, generator=random) for shape in ((5, 64), (96, 64), (96,)))
    try:
        made = _PackedLinear(weight, bias, dtype)(inputs)
    except (AttributeError, RuntimeError, NotImplementedError):
        return False
    expected = F.linear(inputs, weight, bias)
    return bool((made - expected).abs().max() <= _TOLERANCE[dtype] * expected.abs().max())
