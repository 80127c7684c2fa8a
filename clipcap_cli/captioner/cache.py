"""Keys and values of the places that were read, kept so that a step moves as little memory as it can.

The cache of transformers copies everything once to add a place and once more to reorder rows. Here a new place is written into room that is there already, and
rows are gathered into a second buffer that takes turns with the first.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

_ROOM = 16  # places that are added at a time


def new_cache(config: Any) -> DynamicCache:
    """An empty cache for a model of this configuration. Layers that attend to everything are ours, others (with a window, with a state) the library's."""
    cache = DynamicCache(config=config)
    cache.layers = [_Layer() if type(layer) is DynamicLayer else layer for layer in cache.layers]
    return cache


class _Layer(DynamicLayer):  # type: ignore[misc]
    """The cache of one attention layer; `keys` and `values` [rows, heads, places, size] are views of the buffers."""

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        super().lazy_initialization(key_states, value_states)
        self._buffers = (_Buffer(), _Buffer())

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        self.keys, self.values = (buffer.append(states) for buffer, states in zip(self._buffers, (key_states, value_states), strict=True))
        return self.keys, self.values

    def reorder_cache(self, beam_idx: Tensor) -> None:
        self.keys, self.values = (buffer.gather(beam_idx) for buffer in self._buffers)


class _Buffer:
    def __init__(self) -> None:
        self.room = torch.empty(0)
        self.spare = torch.empty(0)  # what `gather` writes to
        self.used = 0  # places

    def append(self, states: Tensor) -> Tensor:
        rows, heads, places, size = states.shape
        needed = self.used + places
        if not self.used or needed > self.room.shape[2]:
            room = states.new_empty(rows, heads, -(-needed // _ROOM) * _ROOM, size)
            if self.used:
                room[:, :, : self.used] = self.room[:, :, : self.used]
            self.room, self.spare = room, room[:0]
        self.room[:, :, self.used : needed] = states
        self.used = needed
        return self.room[:, :, :needed]

    def gather(self, index: Tensor) -> Tensor:
        if len(self.spare) < len(index):
            self.spare = self.room.new_empty(len(index), *self.room.shape[1:])
        gathered = torch.index_select(self.room, 0, index, out=self.spare[: len(index)])
        self.room, self.spare = gathered, self.room
        return self.room[:, :, : self.used]
