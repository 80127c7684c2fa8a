"""Mappers sized to the data: what `mapper.preset` stands for.

A mapper of few weights does not learn a small data set by heart so quickly; one of many pays where there is much to learn from. Medium and large are the two
that the method was published with. Where the lines are drawn is a rule of thumb, not a measurement.
"""

from __future__ import annotations

from typing import Any, Final

PRESETS: Final[dict[str, dict[str, Any]]] = {
    "small": {"kind": "mlp", "prefix_length": 5},
    "medium": {"kind": "mlp", "prefix_length": 10},  # ClipCap's first model
    "large": {"kind": "transformer", "prefix_length": 40, "clip_length": 40, "layers": 8, "heads": 8},  # ClipCap's second model
}
_UP_TO = {"small": 20_000, "medium": 1_000_000}  # training captions


def preset_for(captions: int) -> str:
    """The preset that `auto` means for so many training captions."""
    return next((name for name, most in _UP_TO.items() if captions <= most), "large")
