"""An encoder that needs no weights: a picture's mean colour."""

import numpy as np

COLOURS = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255), "grey": (128, 128, 128)}


class ColourEncoder:
    """The mean colour of a picture as its embedding."""

    spec, fingerprint, embedding_size, image_size, precision = "efficientnet-lite0", "c0105" * 8, 3, 8, "fp32"

    def preprocess(self, image):
        return np.asarray(image.resize((8, 8)))

    def encode(self, batch):
        return batch.astype(np.float32).mean((1, 2)) / 255
