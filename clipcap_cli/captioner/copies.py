"""A captioner on several devices: each has a copy of all of it."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path

from clipcap_cli.captioner.bundle import load_bundle
from clipcap_cli.captioner.captioner import Captioner
from clipcap_cli.encoders.network import DTYPES
from clipcap_cli.encoders.precision import Precision, choose_device, choose_precision
from clipcap_cli.storage.home import Home


def load_copies(folder: Path, devices: Sequence[str], *, home: Home | None = None, precision: str = "fp32") -> Captioner:
    """The captioner in `folder` on each of these devices; the one on the first has the others as its `copies`.

    Args:
        devices: names, as `choose_devices` gives them.
        precision: as `load_bundle`; "auto" is decided by the first device, for all.

    Raises:
        ClipcapError: as `load_bundle`.
    """
    if len(devices) == 1:
        return load_bundle(folder, home=home, device=devices[0], precision=precision)
    chosen = choose_precision(precision, choose_device(devices[0]))[0]
    captioner = load_bundle(folder, home=home, device="cpu")  # read once: another bundle may take its place at any time
    others = [_moved(copy.deepcopy(captioner), device, chosen) for device in devices[1:]]
    first = _moved(captioner, devices[0], chosen)
    first.copies = tuple(others)
    return first


def _moved(captioner: Captioner, device: str, precision: Precision) -> Captioner:
    where = choose_device(device)
    captioner.preparation.to(where)
    captioner.mapper.to(where)
    captioner.language_model.to(where).step_in(DTYPES[precision])
    return captioner
