"""An encoder's own files put into a folder, so that it can be loaded from there on a machine that has neither its download nor its package of weights.

Weights become safetensors; what they are is unchanged, so the vectors are the same to the bit. The file is another one, though, and so is the fingerprint.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from torch import Tensor

from clipcap_cli.encoders import efficientnet, hub, openai
from clipcap_cli.errors import InputError
from clipcap_cli.events import Listener, silent
from clipcap_cli.storage.home import Home

OPENAI, HF, EFFICIENTNET = "openai", "hf", efficientnet.SPEC
_OPENAI_FILE, _EFFICIENTNET_FILE = "clip.safetensors", "efficientnet-lite0.safetensors"


def carry_encoder(spec: str, folder: Path, *, home: Home, events: Listener = silent) -> tuple[str, Path]:
    """Put the encoder of `spec` into the new folder `folder`.

    Returns:
        The family and the path that `load_encoder` takes, as "family:path".

    Raises:
        InputError: it is an encoder of a third party, whose files are not known.
        MissingError: its weights are not here and cannot be had now.
        StoreError: they are damaged.
    """
    family, _, name = spec.partition(":")
    carry = _CARRIERS.get(family)
    if carry is None:
        raise InputError(
            f"the encoder {spec} comes from another package, and its files are not known to clipcap",
            hint="Leave --self-contained out; whoever gets the captioner needs that package.",
        )
    folder.mkdir()
    return family, carry(name, folder, home, events)


def _openai(name: str, folder: Path, home: Home, events: Listener) -> Path:
    return _saved(dict(openai.weights_of(name, home=home, events=events)), folder / _OPENAI_FILE)


def _hf(name: str, folder: Path, home: Home, events: Listener) -> Path:
    source = hub.find_folder(name, home=home, events=events)
    for path in {*hub.weight_files(source), *(path for pattern in hub.SMALL_FILES for path in source.glob(pattern))}:
        shutil.copyfile(path, folder / path.name)
    return folder


def _efficientnet(name: str, folder: Path, home: Home, events: Listener) -> Path:
    return _saved(efficientnet.read_weights(efficientnet.weights_file(name)), folder / _EFFICIENTNET_FILE)


def _saved(state: dict[str, Tensor], path: Path) -> Path:
    from safetensors.torch import save_file

    save_file({name: tensor.contiguous() for name, tensor in state.items()}, path)
    path.chmod(path.parent.stat().st_mode & 0o666)  # it is written for its owner alone, and this one is for others
    return path


_CARRIERS: dict[str, Callable[[str, Path, Home, Listener], Path]] = {OPENAI: _openai, HF: _hf, EFFICIENTNET: _efficientnet}
