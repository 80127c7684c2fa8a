"""What an encoder is to everyone else.

A picture goes in as a Pillow image, becomes a small array of bytes (`preprocess`, cheap, in any thread), and a batch of these becomes vectors (`encode`, where
the network runs). The two are apart so that pictures are prepared while others are encoded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from PIL import Image

Pixels = NDArray[np.uint8]
Vectors = NDArray[np.float32]


@runtime_checkable
class ImageEncoder(Protocol):
    """Turns pictures into vectors. Third parties add theirs through the entry-point group `clipcap.encoders` (see `registry`).

    Attributes:
        spec: "openai:ViT-B/32"; `load_encoder` of it gives this encoder again.
        fingerprint: hex digits that are the same for the same weights and preprocessing, and for nothing else.
        embedding_size: length of a vector (D).
        image_size: side in pixels of the square that the network gets.
        precision: "fp32" or "bf16".
    """

    spec: str
    fingerprint: str
    embedding_size: int
    image_size: int
    precision: str

    def preprocess(self, image: Image.Image) -> Pixels:
        """The pixels that the network gets.

        Args:
            image: upright and RGB.

        Returns:
            [image_size, image_size, 3]: resized and cropped as the encoder's own preprocessing does it; its scaling to floats is part of `encode`.
        """

    def encode(self, batch: Pixels) -> Vectors:
        """The vectors of a batch, raw (not normalised), each independent of the others in the batch up to rounding.

        Args:
            batch: [n, image_size, image_size, 3].

        Returns:
            [n, embedding_size].

        Raises:
            MissingError: the weights are not here and cannot be had now (known at the first batch, when the network is built).
        """


@runtime_checkable
class TextEncoder(Protocol):
    """Turns texts into vectors of the same space; CLIP and SigLIP encoders are both."""

    def encode_text(self, texts: list[str]) -> Vectors:
        """The vectors of `texts`, [n, embedding_size], raw. Texts longer than the encoder reads are cut."""


class EncoderFactory(Protocol):
    """Makes the encoders of one family; `name` is the part of the spec behind the colon."""

    def __call__(self, name: str, **settings: Any) -> ImageEncoder: ...
