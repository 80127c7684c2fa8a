"""An encoder without a network."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image


class MeanColours:
    """The vector of a picture is the mean of its colours and of its upper left quarter's."""

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


def jpeg_of(image, **settings):
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=95, **settings)
    return stream.getvalue()
