"""An encoder without a network, and pictures for it."""

from __future__ import annotations

import pytest
from mean_colours import MeanColours, jpeg_of
from PIL import Image


@pytest.fixture
def encoder():
    return MeanColours()


@pytest.fixture
def jpegs():
    """The bytes of 20 pictures."""
    return [jpeg_of(Image.new("RGB", (30 + number, 20), (number * 12, 255 - number * 12, number))) for number in range(20)]
