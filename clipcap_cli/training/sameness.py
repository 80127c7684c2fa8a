"""Whether two runs came out the same: every loss, every score, every weight."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

from safetensors import safe_open

from clipcap_cli.captioner.manifest import is_bundle, read_manifest
from clipcap_cli.training.runs import Run

_FIGURES = ("epoch", "loss", "lr", "val_loss", "score", "best", "samples")  # of a line of metrics: those that no clock decides
BUNDLES = ("best", "last")


@dataclass(frozen=True)
class Sameness:
    """How alike two runs are.

    Attributes:
        lines: of metrics that were compared.
        first_other_step: of the first line that differs; None where none does.
        loss_difference: the largest between losses of the same step.
        tensors: of all bundles that were compared.
        other_tensors: those that are not the same to the bit, as "best: model.0.weight".
        weight_difference: the largest of any weight; infinite where tensors are missing or of another shape.
    """

    lines: int
    first_other_step: int | None
    loss_difference: float
    tensors: int
    other_tensors: tuple[str, ...]
    weight_difference: float

    @property
    def is_exact(self) -> bool:
        """Whether all is the same to the bit."""
        return self.first_other_step is None and not self.other_tensors and self.lines > 0 and self.tensors > 0

    def __str__(self) -> str:
        if self.is_exact:
            return f"the same to the bit: {self.lines:,} lines of metrics, {self.tensors:,} tensors"
        losses = "all losses equal"
        if self.first_other_step is not None:
            losses = f"from step {self.first_other_step:,} on losses differ, by {self.loss_difference:.2g} at most"
        weights = "all weights equal"
        if self.other_tensors:
            weights = f"{len(self.other_tensors):,} of {self.tensors:,} tensors differ, by {self.weight_difference:.2g} at most"
        return f"not the same: {losses}; {weights}"


def sameness(first: Run, second: Run) -> Sameness:
    """Compare metrics, and the tensors of the best and the last bundle.

    Raises:
        InputError, StoreError: a bundle cannot be read.
    """
    lines, other_step, loss_difference = 0, None, 0.0
    for ours, theirs in zip_longest(first.metrics(), second.metrics()):
        lines += 1
        if _figures(ours) != _figures(theirs) and other_step is None:
            other_step = int((ours or theirs)["step"])
        loss_difference = max(loss_difference, _loss_difference(ours or {}, theirs or {}))
    tensors, others, weight_difference = 0, [], 0.0
    for bundle in BUNDLES:
        for name, difference in _weight_differences(first.path / bundle, second.path / bundle):
            tensors += 1
            if difference is not None:
                others.append(f"{bundle}: {name}")
                weight_difference = max(weight_difference, difference)
    return Sameness(lines, other_step, loss_difference, tensors, tuple(others), weight_difference)


def _figures(line: dict[str, Any] | None) -> dict[str, str] | None:
    """As texts, since NaN is not equal to itself."""
    return None if line is None else {name: repr(line.get(name)) for name in ("step", *_FIGURES)}


def _loss_difference(ours: dict[str, Any], theirs: dict[str, Any]) -> float:
    found = [abs(ours[name] - theirs[name]) for name in ("loss", "val_loss") if name in ours and name in theirs]
    return max((difference for difference in found if math.isfinite(difference)), default=0.0)


def _weight_differences(first: Path, second: Path) -> Iterator[tuple[str, float | None]]:
    """The greatest difference of each tensor of two bundles; None where they are the same to the bit."""
    if not is_bundle(first) and not is_bundle(second):
        return
    files = _tensor_files(first), _tensor_files(second)
    for path in sorted({*files[0], *files[1]}):
        if path not in files[0] or path not in files[1]:
            yield path, math.inf
        else:
            yield from _of_files(first / path, second / path, same=files[0][path] == files[1][path])


def _tensor_files(folder: Path) -> dict[str, str]:
    """The hash of each file of tensors of a bundle; none where there is no bundle."""
    files = read_manifest(folder).files if is_bundle(folder) else {}
    return {path: digest for path, digest in files.items() if path.endswith(".safetensors")}


def _of_files(first: Path, second: Path, *, same: bool) -> Iterator[tuple[str, float | None]]:
    with safe_open(first, "pt") as ours, safe_open(second, "pt") as theirs:
        names = {*ours.keys()}, {*theirs.keys()}
        for name in sorted(names[0] | names[1]):
            if same:
                yield name, None
            elif name not in names[0] or name not in names[1] or ours.get_slice(name).get_shape() != theirs.get_slice(name).get_shape():
                yield name, math.inf
            else:
                one, other = ours.get_tensor(name), theirs.get_tensor(name)
                equal = one.dtype == other.dtype and bool((one == other).all() or one.numpy().tobytes() == other.numpy().tobytes())
                yield name, None if equal else float((one.double() - other.double()).abs().max())
