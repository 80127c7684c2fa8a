"""From what is given as a picture (a path, bytes, an image, an array) to the pixels that a network gets."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from clipcap_cli.datasets.pictures import open_picture, read_picture, to_rgb
from clipcap_cli.datasets.places import Place
from clipcap_cli.encoders.base import Pixels
from clipcap_cli.errors import ClipcapError, InputError
from clipcap_cli.storage.hashing import image_id_of

Source = Path | Place | bytes | Image.Image | np.ndarray


class ChangedError(InputError):
    """A picture is not what it was when it was added to its dataset."""


def prepare(source: Source | str, number: int, preprocess: Callable[[Image.Image], Pixels], image_id: str | None = None) -> Pixels | ClipcapError:
    """The pixels of a picture, or why there are none.

    Args:
        number: its place, for the message of one that has no name.
        preprocess: of the encoder.
        image_id: that its bytes must have; another one is a ChangedError.
    """
    where = str(source) if isinstance(source, str | os.PathLike | Place) else f"picture {number + 1}"
    try:
        return preprocess(_open(source, where, image_id))
    except ClipcapError as error:
        error.where = error.where or where
        return error


def _open(source: Source | str, where: str, image_id: str | None) -> Image.Image:
    if isinstance(source, Image.Image):
        try:
            return to_rgb(source)
        except Exception as error:  # a picture that was opened may still turn out to be damaged when its pixels are read
            raise InputError(f"this picture is damaged ({error})", hint="Get it again from where it came, or leave it out.") from error
    if isinstance(source, np.ndarray):
        if source.dtype != np.uint8 or source.ndim not in (2, 3) or (source.ndim == 3 and source.shape[2] not in (3, 4)) or not source.size:
            raise InputError(f"an array of {source.dtype} {list(source.shape)} is no picture", hint="Give bytes (uint8), [height, width, 3], red first.")
        return to_rgb(Image.fromarray(np.ascontiguousarray(source)))
    if not isinstance(source, bytes):
        try:
            source = read_picture(source if isinstance(source, Place) else Path(source))
        except OSError as error:
            raise InputError(f"this picture cannot be read: {error.strerror or error}", hint="Put it back, or add the dataset again.") from error
    if image_id is not None and image_id_of(source) != image_id:
        raise ChangedError(
            "this picture has changed since it was added to the dataset", where=where, hint="Add the dataset again, or put the old picture back."
        )
    return open_picture(source, where)
