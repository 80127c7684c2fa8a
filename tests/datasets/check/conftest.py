"""What checks look at, without a store."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from clipcap_cli.datasets.check.facts import Facts
from clipcap_cli.datasets.check.material import Material
from clipcap_cli.datasets.versions import Picture


@pytest.fixture
def told() -> Callable[..., Picture]:
    """A picture of a version with these captions, and without a file."""

    def make(name: str, *captions: str, split: str | None = "train", image_id: str | None = None) -> Picture:
        return Picture(image_id or name, "", name, split, 640, 480, 0, 0, captions)

    return make


@pytest.fixture
def material() -> Callable[..., Material]:
    """Material made of pictures; `facts` of theirs, if they have files."""

    def make(*pictures: Picture, facts: list[Facts | None] | None = None, **more: object) -> Material:
        return Material("food", "/food", pictures, facts or [None] * len(pictures), **more)  # type: ignore[arg-type]

    return make
