"""What `runs verify` found, as a table and as JSON."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from clipcap_cli.cli.out import out

if TYPE_CHECKING:
    from clipcap_cli.training.sameness import Sameness
    from clipcap_cli.training.verifying import Verification


def verification_json(name: str, found: Verification) -> dict[str, Any]:
    """The document that --json prints."""
    return {
        "run": name,
        "can_be_made_again": found.can_be_made_again,
        "differences": [asdict(difference) for difference in found.differences],
        "lost": list(found.lost),
        "made_again": {other: {"exact": alike.is_exact, **asdict(alike), "weight_difference": _finite(alike)} for other, alike in found.made_again.items()},
    }


def show_verification(name: str, found: Verification) -> None:
    """The same for people."""
    for sentence in found.lost:
        out.text(sentence)
    out.table(
        ("what", "then", "now", "so"),
        [(it.what, it.then, it.now, "something else comes out" if it.decides else "the last digits may differ") for it in found.differences],
    )
    if not found.differences and not found.lost:
        out.text(f"{name}: data, weights, packages and machine are what they were.")
    elif not found.can_be_made_again:
        out.text(f"{name} cannot be made again as it was.")
    else:
        out.text(f"{name}: data and weights are what they were.")
    if not found.lost:
        out.text("Pictures were compared by their ids, and their files were not read: `clipcap cache verify pictures` reads them.")
    for other, alike in found.made_again.items():
        out.text(f"{other} was made again from it: {alike}.")


def _finite(alike: Sameness) -> float | None:
    """JSON has no infinity: null where a tensor is missing on one side."""
    return alike.weight_difference if math.isfinite(alike.weight_difference) else None
