from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from clipcap_cli.datasets.pictures import open_picture
from clipcap_cli.encoders.openai import PREPROCESSING
from clipcap_cli.errors import InputError

NAMES = ["123_456", "208_495", "321_421", "389_535", "416_264", "456_123", "524_316"]
SMALL = replace(PREPROCESSING, size=16, resize_to=16)


@pytest.mark.parametrize("name", NAMES)
def test_pictures_come_out_as_from_clips_own_preprocessing_to_the_pixel(golden, name):
    image = open_picture((golden / f"{name}.jpg").read_bytes(), name)
    assert np.array_equal(PREPROCESSING.pixels(image), np.load(golden / "crops.npz")[name])


@given(st.integers(1, 90), st.integers(1, 90), st.booleans(), st.sampled_from(["even", "down"]))
def test_any_picture_becomes_a_square_of_the_same_size(width, height, squeeze, middle):
    pixels = replace(SMALL, squeeze=squeeze, middle=middle).pixels(Image.new("RGB", (width, height), (1, 2, 3)))
    assert pixels.shape == (16, 16, 3)
    assert (pixels == (1, 2, 3)).all()


def test_the_middle_of_a_long_picture_is_kept():
    image = Image.new("RGB", (48, 16))
    image.paste((255, 255, 255), (16, 0, 32, 16))
    assert (SMALL.pixels(image) == 255).all()


def test_a_squeezed_picture_loses_nothing():
    image = Image.new("RGB", (64, 32))
    image.paste((255, 255, 255), (32, 0, 64, 32))
    pixels = replace(SMALL, squeeze=True, resample=0).pixels(image)
    assert (pixels[:, :8] == 0).all()
    assert (pixels[:, 8:] == 255).all()


def test_a_picture_that_would_fill_the_memory_when_resized_is_refused():
    with pytest.raises(InputError, match="1 x 100,000 pixels, too long and thin"):
        SMALL.pixels(Image.new("RGB", (1, 100_000)))
