"""The same bits again: on CUDA, kernels that add in a fixed order where there are such, and the names of the operations that have none."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from clipcap_cli.events import Listener, Note

_WARNING = re.compile(r"^(\w+) does not have a deterministic implementation")
_WORKSPACE = ":4096:8"  # what cuBLAS needs to add in a fixed order


def prepare_determinism(device: torch.device) -> None:
    """Ask cuBLAS for a fixed order; it listens only before its first product, and whoever has set it themselves wins."""
    if device.type == "cuda":
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", _WORKSPACE)


@contextmanager
def deterministic(device: torch.device, events: Listener) -> Iterator[None]:
    """Compute in a fixed order while the block runs, as far as that is possible on `device`; what is not is said at the end.

    On a CPU every operation that training uses adds in an order that the number of threads alone decides, and nothing has to be switched.
    """
    if device.type != "cuda":
        yield
        return
    before, warned = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            yield
    finally:
        torch.use_deterministic_algorithms(before, warn_only=warned)
    named = unordered_operations([str(warning.message) for warning in caught])
    if named:
        events(Note(f"these operations have no kernel that gives the same bits each time: {', '.join(named)}"))


def unordered_operations(messages: list[str]) -> list[str]:
    """The operations that torch warned of."""
    return sorted({found[1] for message in messages if (found := _WARNING.match(message))})
