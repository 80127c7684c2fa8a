"""Tiny models in the formats that real ones come in, with random weights, made once."""

from __future__ import annotations

import warnings
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from clipcap_cli.encoders import clip_package

SIDE = 64


def _tiny_clip(vision_layers, vision_width, patch_size):
    torch.manual_seed(0)
    model = clip_package.model().CLIP(24, SIDE, vision_layers, vision_width, patch_size, 77, 49408, 64, 1, 1).eval()
    for parameter in model.parameters():  # as published: fp16 loses nothing
        parameter.data = parameter.data.half().float()
    return model.requires_grad_(False)


def _trace(model, path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tracing is deprecated, and remarks on each shape that it takes for fixed
        torch.jit.trace(model, (torch.zeros(1, 3, SIDE, SIDE), torch.zeros(1, 77, dtype=torch.long))).save(str(path))


@pytest.fixture(scope="session", params=["vit", "resnet"])
def clip(request, tmp_path_factory):
    """A tiny CLIP of OpenAI's: the model, its state dict in a file, and the same as a TorchScript archive, as OpenAI published theirs."""
    folder = tmp_path_factory.mktemp(request.param)
    model = _tiny_clip(1, 64, 16) if request.param == "vit" else _tiny_clip((1, 1, 1, 1), 8, None)
    made = SimpleNamespace(model=model, state_dict=folder / "state.pt", archive=folder / "archive.pt")
    torch.save(model.state_dict(), made.state_dict)
    _trace(model, made.archive)
    return made


@pytest.fixture(scope="session")
def pictures():
    """[5, SIDE, SIDE, 3], bytes."""
    return np.random.default_rng(0).integers(0, 256, (5, SIDE, SIDE, 3), dtype=np.uint8)


@pytest.fixture(scope="session")
def golden():
    """Folder of the pictures whose crops by CLIP's own preprocessing are known."""
    return Path(__file__).parent.parent / "data" / "clip"
