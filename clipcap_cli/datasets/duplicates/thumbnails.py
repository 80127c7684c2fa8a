"""What is kept of a picture to compare it with others: its brightness, small, and its colours, smaller, as a JPEG keeps them.

thumbnail  # 1,152 bytes: brightness [32, 32], blueness [8, 8], redness [8, 8]
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

SIDE = 32
COLOUR_SIDE = 8
LENGTH = SIDE * SIDE + 2 * COLOUR_SIDE * COLOUR_SIDE

Thumbnails = NDArray[np.uint8]  # [pictures, LENGTH]

# Grey levels, of 256, between the darkest and the brightest spot (or the most and the least colourful) of what has nothing to see in it. Compressing an
# even colour makes differences of one or two.
_FLAT = 6


def thumbnail_of(image: Any) -> bytes:
    """The thumbnail of a Pillow image of mode RGB, whatever its size and shape."""
    from PIL.Image import Resampling

    small = image.resize((SIDE, SIDE), Resampling.BOX).convert("YCbCr")
    brightness, *colours = small.split()
    return b"".join([brightness.tobytes(), *(of.resize((COLOUR_SIDE, COLOUR_SIDE), Resampling.BOX).tobytes() for of in colours)])


def as_array(thumbnails: Sequence[bytes]) -> Thumbnails:
    """Thumbnails as the rows of an array."""
    return np.frombuffer(b"".join(thumbnails), np.uint8).reshape(len(thumbnails), LENGTH)


def brightness_of(thumbnails: Thumbnails) -> Thumbnails:
    """[pictures, SIDE, SIDE]"""
    return thumbnails[:, : SIDE * SIDE].reshape(-1, SIDE, SIDE)


def colours_of(thumbnails: Thumbnails) -> Thumbnails:
    """[pictures, 2 * COLOUR_SIDE * COLOUR_SIDE]"""
    return thumbnails[:, SIDE * SIDE :]


def are_flat(thumbnails: Thumbnails) -> NDArray[np.bool_]:
    """Which pictures are of one colour all over, [pictures]."""
    parts = (thumbnails[:, : SIDE * SIDE], *np.split(colours_of(thumbnails), 2, axis=1))
    flat: NDArray[np.bool_] = np.all([np.ptp(part, axis=1) < _FLAT for part in parts], axis=0)
    return flat
