"""State dicts as `torch.save` writes them, read without running anything in them, and without a small file taking up a large memory."""

from __future__ import annotations

import warnings
import zipfile
from pathlib import Path

import torch
from torch import Tensor

from clipcap_cli.storage.guards import check_stored


def load_state_dict(path: Path) -> object:
    """What a file holds: a state dict, if it is an honest one. A zip is mapped, not read.

    Raises:
        OSError: it cannot be read.
        pickle.UnpicklingError: it asks to run something.
        ValueError: it is compressed, or a tensor in it names more numbers than there are.
        Exception: it is damaged, in one of torch's many ways.
    """
    zipped = zipfile.is_zipfile(path)
    if zipped:
        with zipfile.ZipFile(path) as archive:
            check_stored(archive, path.stat().st_size)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about pickles of another age, and those that are then refused
        found: object = torch.load(path, map_location="cpu", weights_only=True, mmap=zipped or None)
    for name, value in found.items() if isinstance(found, dict) else ():
        if isinstance(value, Tensor):
            _check_plain(str(name), value)
    return found


def _check_plain(name: str, tensor: Tensor) -> None:
    """A view can repeat one number for ever, and is that large once it is copied."""
    if tensor.layout != torch.strided or tensor.device.type != "cpu" or tensor.is_quantized:
        raise ValueError(f"its tensor {name[:60]!r} is of a kind that no weights are")
    if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
        raise ValueError(f"its tensor {name[:60]!r} names more numbers than there are")
