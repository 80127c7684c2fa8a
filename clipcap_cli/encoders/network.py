"""An encoder around a torch network: what all families share.

The network is built at the first batch, not before: with every embedding in the store already, neither weights nor memory are needed.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from clipcap_cli.encoders.base import Pixels, Vectors
from clipcap_cli.encoders.lanes import on_every_core
from clipcap_cli.encoders.precision import Precision
from clipcap_cli.encoders.preprocessing import Preprocessing
from clipcap_cli.errors import InputError

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
_TEXTS = 64  # of one forward pass
_building = threading.Lock()  # one network after the other: what transformers changes while it loads is shared by all threads


def placed(network: nn.Module, device: torch.device, dtype: torch.dtype | None = None) -> nn.Module:
    """The network made ready to encode: on `device`, in `dtype` if one is given, channels_last, in eval mode, without gradients."""
    network.to(device=device, dtype=dtype).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network.eval().requires_grad_(False)


class NetworkEncoder:
    """An ImageEncoder whose network is a torch module.

    Args:
        build: makes the network, `placed` on `device` and in `precision`: pixels [n, 3, size, size], scaled, in channels_last layout -> [n, embedding_size].
    """

    def __init__(
        self,
        *,
        spec: str,
        fingerprint: str,
        embedding_size: int,
        preprocessing: Preprocessing,
        device: torch.device,
        precision: Precision,
        build: Callable[[], nn.Module],
    ) -> None:
        self.spec = spec
        self.fingerprint = fingerprint
        self.embedding_size = embedding_size
        self.image_size = preprocessing.size
        self.precision: str = precision
        self.preprocessing = preprocessing
        self.device = device
        self._dtype = DTYPES[precision]
        self._build = build
        self.copied_s = 0.0  # seconds that copies of pixels to another device than the CPU have taken
        self._network: nn.Module | None = None

    def preprocess(self, image: Image.Image) -> Pixels:
        """See ImageEncoder."""
        return self.preprocessing.pixels(image)

    def encode(self, batch: Pixels) -> Vectors:
        """See ImageEncoder."""
        expected = (self.image_size, self.image_size, 3)
        if batch.dtype != np.uint8 or batch.shape[1:] != expected:
            raise InputError(f"{self.spec} encodes bytes [n, {', '.join(map(str, expected))}], not {batch.dtype} {list(batch.shape)}")
        if not len(batch):
            return np.zeros((0, self.embedding_size), np.float32)
        network = self.network()
        if self.device.type == "cpu":
            return on_every_core(lambda pixels: self._forward(network, pixels), batch)
        return self._forward(network, batch)

    def network(self) -> nn.Module:
        """The network itself, built now if it has not been."""
        if self._network is None:
            with _building:
                if self._network is None:
                    self._network = self._build()
        return self._network

    def scale(self, batch: Pixels) -> Tensor:
        """What the network gets for a batch: [n, 3, size, size] in channels_last layout, on its device and in its precision."""
        how = self.preprocessing
        mean, std = (torch.tensor(values, device=self.device).view(1, 3, 1, 1) for values in (how.mean, how.std))
        began = time.perf_counter()
        rows = torch.from_numpy(np.require(batch, requirements=["C", "W"])).to(self.device)  # torch takes no array that cannot be written
        if self.device.type != "cpu":
            self.copied_s += time.perf_counter() - began
        pixels = rows.permute(0, 3, 1, 2)  # rows of RGB are channels_last as they are
        return pixels.to(torch.float32).div_(how.divisor).sub_(mean).div_(std).to(self._dtype)

    def _forward(self, network: nn.Module, batch: Pixels) -> Vectors:
        with torch.inference_mode():
            vectors: Vectors = network(self.scale(batch)).float().cpu().numpy()
        return vectors


class ImageTextEncoder(NetworkEncoder):
    """A NetworkEncoder that is a TextEncoder too.

    Args:
        build_text: makes the function texts -> [n, embedding_size] at its first use.
        settings: those of NetworkEncoder.
    """

    def __init__(self, *, build_text: Callable[[], Callable[[list[str]], Tensor]], **settings: Any) -> None:
        super().__init__(**settings)
        self._build_text = build_text
        self._text: Callable[[list[str]], Tensor] | None = None

    def encode_text(self, texts: list[str]) -> Vectors:
        """See TextEncoder."""
        with _building:
            if self._text is None:
                self._text = self._build_text()
        if not texts:
            return np.zeros((0, self.embedding_size), np.float32)
        with torch.inference_mode():
            parts = [self._text(texts[start : start + _TEXTS]).float().cpu() for start in range(0, len(texts), _TEXTS)]
        vectors: Vectors = torch.cat(parts).numpy()
        return vectors
