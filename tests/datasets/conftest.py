"""Pictures and folders that these tests make for themselves."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

Draw = Callable[..., Path]


@pytest.fixture
def draw() -> Draw:
    """Make a small picture whose bytes depend on `what` (its path, if nothing is said)."""

    def make(path: Path, what: str = "") -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        colour = tuple(hashlib.sha256(os.fsencode(what or path.name)).digest()[:3])
        stream = io.BytesIO()
        Image.new("RGB", (12, 8), colour).save(stream, "PNG")
        path.write_bytes(stream.getvalue())
        return path

    return make
