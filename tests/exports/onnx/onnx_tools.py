"""What tests of the onnx folder share."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

from clipcap_cli.captioner.captioner import Captioner

FOOD = sorted((Path(__file__).parents[3] / "examples" / "food" / "images").glob("*.jpg"))


@dataclass(frozen=True)
class Exported:
    """A captioner as a bundle, as what torch runs, and as an onnx folder."""

    bundle: Path
    captioner: Captioner
    folder: Path


def import_program(folder: Path) -> ModuleType:
    """The caption.py of a folder, as a module."""
    spec = spec_from_file_location("exported_caption", folder / "caption.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.modules["exported_caption"] = module  # its dataclasses look themselves up
    spec.loader.exec_module(module)
    return module
