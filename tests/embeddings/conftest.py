"""An encoder without a network: the vector of a picture is the mean of its colours and of its upper left quarter's."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image


class MeanColours:
    spec = "test:mean-colours"
    fingerprint = "0123456789abcdef"
    embedding_size = 6
    image_size = 8
    precision = "fp32"

    def __init__(self):
        self.batches = []

    def preprocess(self, image):
        return np.asarray(image.resize((8, 8), Image.Resampling.BOX))

    def encode(self, batch):
        self.batches.append(len(batch))
        return np.concatenate([batch.mean((1, 2)), batch[:, :4, :4].mean((1, 2))], 1, dtype=np.float32)


@pytest.fixture
def encoder():
    return MeanColours()


def jpeg_of(image, **settings):
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=95, **settings)
    return stream.getvalue()


@pytest.fixture
def jpegs():
    """The bytes of 20 pictures."""
    return [jpeg_of(Image.new("RGB", (30 + number, 20), (number * 12, 255 - number * 12, number))) for number in range(20)]
