"""From a picture to the square of pixels that a network was trained on, with Pillow alone.

The published definitions differ in small ways (which side is resized, which way the middle is rounded), and each is kept: a picture must come out as it did in
the encoder's own training, to the pixel. Turning bytes into floats, the same for all, is left to where the network is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from PIL import Image

from clipcap_cli.encoders.base import Pixels
from clipcap_cli.errors import InputError

_LONGEST = 100  # longer side / shorter side: 15 MB when resized to 224 pixels; a file of a few bytes can ask for terabytes


@dataclass(frozen=True)
class Preprocessing:
    """Resize, crop the middle, then (x / divisor - mean) / std.

    Attributes:
        size: side of the square that comes out, in pixels.
        resize_to: what is resized to before the crop, in pixels: the shorter side, or both where `squeeze`.
        squeeze: both sides are resized to `resize_to`, whatever the picture's shape.
        resample: Pillow's number of the filter (3 is bicubic).
        middle: where an odd number of pixels is cropped away: "even" rounds half to even (torchvision), "down" leaves the smaller half on the left and top
            (transformers).
        divisor: what bytes are divided by.
        mean: of each channel, after the division.
        std: of each channel, after the division.
    """

    size: int
    resize_to: int
    squeeze: bool
    resample: int
    middle: Literal["even", "down"]
    divisor: float
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    def pixels(self, image: Image.Image) -> Pixels:
        """The square of an RGB picture, [size, size, 3].

        Raises:
            InputError: it is so long and thin that it would fill the memory when it is resized.
        """
        short, long = sorted(image.size)
        if self.squeeze:
            width = height = self.resize_to
        elif long > _LONGEST * short:
            raise InputError(f"this picture is {image.width:,} x {image.height:,} pixels, too long and thin to be encoded", hint="Crop it, or leave it out.")
        else:
            width, height = (int(self.resize_to * side / short) for side in image.size)
        resized = image.resize((width, height), Image.Resampling(self.resample))
        left, top = self._margin(width), self._margin(height)
        return np.asarray(resized.crop((left, top, left + self.size, top + self.size)))

    def _margin(self, side: int) -> int:
        spare = side - self.size
        return round(spare / 2) if self.middle == "even" else spare // 2
