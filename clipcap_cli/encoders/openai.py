"""`openai:MODEL`: the CLIP models of OpenAI, and other weights in their format, run by the code of the `clip` package.

MODEL is one of nine names, or the path of a file: a TorchScript archive as OpenAI published them, a state dict (.pt), or safetensors. Sizes are read off the
weights. A published model's file is looked for in $CLIPCAP_WEIGHTS, in the store's weights/openai/ and in the `clip` package's own cache, then downloaded.
"""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from clipcap_cli.encoders import clip_package
from clipcap_cli.encoders.fingerprints import file_hash, fingerprint_of
from clipcap_cli.encoders.network import DTYPES, ImageTextEncoder, placed
from clipcap_cli.encoders.openai_models import OPENAI_MODELS, OpenAIModel, brought_files, find_weights, own_file
from clipcap_cli.encoders.precision import Precision, choose_device, choose_precision
from clipcap_cli.encoders.preprocessing import Preprocessing
from clipcap_cli.encoders.state_dicts import load_state_dict
from clipcap_cli.encoders.torchscript import is_torchscript, read_tensors
from clipcap_cli.errors import InputError, StoreError
from clipcap_cli.events import Listener, Note, silent
from clipcap_cli.storage.downloads import fetch
from clipcap_cli.storage.home import Home
from clipcap_cli.storage.names import unknown

# Source: `_transform` in clip/clip.py; equal to it to the pixel, without torchvision.
PREPROCESSING = Preprocessing(
    size=224,
    resize_to=224,
    squeeze=False,
    resample=3,
    middle="even",
    divisor=255.0,
    mean=(0.48145466, 0.4578275, 0.40821073),
    std=(0.26862954, 0.26130258, 0.27577711),
)
_FORMAT = "Name a CLIP model in OpenAI's format: a TorchScript archive, a state dict (.pt) or .safetensors."
_PARTS = ("visual.", "transformer.", "token_embedding.", "ln_final.")
_SINGLE = frozenset({"positional_embedding", "text_projection", "logit_scale"})

State = Mapping[str, Tensor]


@dataclass(frozen=True)
class _Source:
    """What a name turned out to be; `state` reads the weights when they are needed."""

    embedding_size: int
    image_size: int
    sha256: str
    state: Callable[[], State]


def openai_encoder(name: str, *, home: Home, device: str = "auto", precision: str = "auto", events: Listener = silent) -> ImageTextEncoder:
    """The encoder of `openai:NAME`.

    Args:
        name: one of the nine, or a path.

    Raises:
        InputError: there is no such model, or the file is not CLIP in OpenAI's format.
        MissingError: the `clip` package is not installed (weights are looked for at the first batch).
    """
    clip_package.check()
    source = _published(OPENAI_MODELS[name], home, events) if name in OPENAI_MODELS else _local(name, home)
    where = choose_device(device)
    chosen, reason = choose_precision(precision, where)
    spec = f"openai:{name if name in OPENAI_MODELS else Path(name).expanduser().absolute()}"  # a captioner must find the file from wherever it is used
    preprocessing = replace(PREPROCESSING, size=source.image_size, resize_to=source.image_size)
    clip: list[nn.Module] = []  # both towers come out of one file: whichever is asked for first builds them

    def build() -> nn.Module:
        if not clip:
            clip.append(build_clip(source.state(), where, chosen, spec))
            events(Note(f"{spec} runs on {where} in {chosen}: {reason}"))
        return clip[0]

    def build_text() -> Callable[[list[str]], Tensor]:
        model = build()
        tokens = clip_package.tokenizer(int(model.context_length))  # type: ignore[arg-type]
        return lambda texts: model.encode_text(tokens(texts).to(where))  # type: ignore[operator]

    return ImageTextEncoder(
        spec=spec,
        fingerprint=fingerprint_of("openai", [source.sha256], preprocessing),
        embedding_size=source.embedding_size,
        preprocessing=preprocessing,
        device=where,
        precision=chosen,
        build=lambda: build().get_submodule("visual"),
        build_text=build_text,
    )


def build_clip(state: State, device: torch.device, precision: Precision, where: str) -> nn.Module:
    """The CLIP module of a state dict, in eval mode.

    In bf16 what multiplies matrices is bf16, and norms and embeddings stay fp32, as the published models do it with fp16.

    Raises:
        InputError: names or shapes are not those of one CLIP model.
    """
    state = {name: tensor.float() for name, tensor in state.items()}
    try:
        model: nn.Module = clip_package.model().build_model(dict(state))
        model.float().load_state_dict(state)  # build_model rounds to fp16
    except (RuntimeError, KeyError, AssertionError, ValueError, IndexError) as error:
        raise InputError(f"these weights are not those of one CLIP model ({str(error).splitlines()[0]})", where=where, hint=_FORMAT) from error
    if precision == "bf16":
        for module in model.modules():
            if isinstance(module, nn.Conv2d | nn.Linear | nn.MultiheadAttention):
                module.to(DTYPES[precision])
            for name in ("proj", "text_projection"):
                if isinstance(matrix := getattr(module, name, None), nn.Parameter):
                    matrix.data = matrix.data.to(DTYPES[precision])
    return placed(model, device)


def read_state(path: Path) -> State:
    """The weights in a file, by name, on the CPU. Nothing in the file is run.

    Raises:
        InputError: it is not a file of weights, or could only be read by running what is in it.
    """
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            found: object = load_file(path)
        elif is_torchscript(path):
            found = read_tensors(path)
        else:
            found = load_state_dict(path)
    except pickle.UnpicklingError as error:
        hint = "If you trust it, save its state_dict() as .safetensors and name that."
        raise InputError("this file is a pickle that holds more than weights; it was not opened", where=str(path), hint=hint) from error
    except Exception as error:  # each of the three libraries has its own ways to refuse a damaged file
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(f"the weights cannot be read: {reason}", where=str(path), hint=_FORMAT) from error
    if not isinstance(found, dict):
        raise InputError(f"this file holds a {type(found).__name__}, not weights by name", where=str(path), hint=_FORMAT)
    return {name: value for name, value in found.items() if isinstance(value, Tensor) and _is_clip(str(name))}


def weights_of(name: str, *, home: Home, events: Listener = silent) -> State:
    """The weights of `openai:NAME`, by name, in the precision of their file.

    Raises:
        InputError: there is no such model, or the file is not CLIP in OpenAI's format.
        MissingError: they are not here and cannot be downloaded now.
    """
    source = _published(OPENAI_MODELS[name], home, events) if name in OPENAI_MODELS else _local(name, home)
    return source.state()


def _published(model: OpenAIModel, home: Home, events: Listener) -> _Source:
    return _Source(model.embedding_size, model.image_size, model.sha256, lambda: _read_archive(_verified(model, home, events)))


def _verified(model: OpenAIModel, home: Home, events: Listener) -> Path:
    """The file of a published model, its hash checked; downloaded if it is nowhere."""
    for path in brought_files(model):
        if path.is_file() and not _is_published(path, model, home):
            hint = f"Bring it from {model.url}, or name other weights by their path, openai:{path}."
            raise InputError(f"this is not the published {model.name}: its SHA-256 is not {model.sha256[:12]}…", where=str(path), hint=hint)
    own = own_file(model, home)
    if own.is_file() and not _is_published(own, model, home):
        raise StoreError(f"the weights of {model.name} are damaged", where=str(own), hint="Remove this file and type this again: it is downloaded anew.")
    found = find_weights(model, home)
    if found and _is_published(found, model, home):
        return found
    return fetch(model.url, own, sha256=model.sha256, what=f"CLIP {model.name}", size=model.download, events=events)


def _is_published(path: Path, model: OpenAIModel, home: Home) -> bool:
    return file_hash(path, home) == model.sha256


def _read_archive(path: Path) -> State:
    """The weights of a file that is known to be OpenAI's own, by torch's own reader of such archives."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # TorchScript as a whole is deprecated
        try:
            module = torch.jit.load(str(path), map_location="cpu")  # type: ignore[no-untyped-call]
        except RuntimeError:
            return read_state(path)
    return {name: tensor for name, tensor in module.state_dict().items() if _is_clip(name)}


def _local(name: str, home: Home) -> _Source:
    path = Path(name).expanduser()
    if not path.is_file():
        if path.suffix in (".pt", ".pth", ".safetensors", ".bin") or path.is_dir():
            raise InputError("there is no such file", where=str(path), hint=_FORMAT)
        raise unknown("encoder", f"openai:{name}", [f"openai:{known}" for known in OPENAI_MODELS], listing="clipcap doctor")
    state = read_state(path)
    try:
        embedding_size = int(state["text_projection"].shape[1])
        if "visual.proj" in state:
            patches, patch = state["visual.positional_embedding"].shape[0] - 1, int(state["visual.conv1.weight"].shape[-1])
        else:  # a ResNet sees one 32nd of the picture's side at its end
            patches, patch = state["visual.attnpool.positional_embedding"].shape[0] - 1, 32
    except (KeyError, IndexError) as error:
        raise InputError(f"this file is not CLIP in OpenAI's format: it has no {error}", where=str(path), hint=_FORMAT) from error
    return _Source(embedding_size, round(patches**0.5) * patch, file_hash(path, home), lambda: read_state(path))


def _is_clip(name: str) -> bool:
    return (name in _SINGLE or name.startswith(_PARTS)) and not name.endswith(".attn_mask")
