"""`hf:ID_OR_FOLDER`: the image and text towers of CLIP and SigLIP models, run by transformers.

The vector is what the model itself compares with texts: CLIP's projection, SigLIP's pooled output. Pictures are prepared by Pillow after the folder's own
preprocessor_config.json, so torchvision is never needed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from clipcap_cli.encoders.fingerprints import file_hash, fingerprint_of
from clipcap_cli.encoders.hub import find_folder, read_json, weight_files
from clipcap_cli.encoders.network import DTYPES, ImageTextEncoder, NetworkEncoder, placed
from clipcap_cli.encoders.precision import choose_device, choose_precision
from clipcap_cli.encoders.preprocessing import Preprocessing
from clipcap_cli.errors import InputError
from clipcap_cli.events import Listener, Note, silent
from clipcap_cli.storage.home import Home
from clipcap_cli.storage.hub import quiet_transformers


@dataclass(frozen=True)
class _Family:
    """What is known of one `model_type` of transformers.

    Attributes:
        config: class of the configuration.
        image: class of the image tower.
        text: class of the text tower, where the model has one.
        image_output: name of the image tower's output that is the vector.
        text_output: the same of the text tower.
        processor: what its image processor does where preprocessor_config.json does not say.
    """

    config: str
    image: str
    text: str | None
    image_output: str
    text_output: str
    processor: dict[str, Any]


_LOCAL: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
_CLIP_PROCESSOR = {
    "size": {"shortest_edge": 224},
    "crop_size": 224,
    "do_center_crop": True,
    "resample": 3,
    "image_mean": [0.48145466, 0.4578275, 0.40821073],
    "image_std": [0.26862954, 0.26130258, 0.27577711],
}
_SIGLIP_PROCESSOR = {"size": {"height": 224, "width": 224}, "do_center_crop": False, "resample": 3, "image_mean": [0.5] * 3, "image_std": [0.5] * 3}
_CLIP_TEXT, _SIGLIP_TEXT = "CLIPTextModelWithProjection", "SiglipTextModel"
_FAMILIES = {
    "clip": _Family("CLIPConfig", "CLIPVisionModelWithProjection", _CLIP_TEXT, "image_embeds", "text_embeds", _CLIP_PROCESSOR),
    "clip_vision_model": _Family("CLIPVisionConfig", "CLIPVisionModelWithProjection", None, "image_embeds", "", _CLIP_PROCESSOR),
    "siglip": _Family("SiglipConfig", "SiglipVisionModel", _SIGLIP_TEXT, "pooler_output", "pooler_output", _SIGLIP_PROCESSOR),
    "siglip_vision_model": _Family("SiglipVisionConfig", "SiglipVisionModel", None, "pooler_output", "", _SIGLIP_PROCESSOR),
}


def hf_encoder(name: str, *, home: Home, device: str = "auto", precision: str = "auto", events: Listener = silent) -> NetworkEncoder:
    """The encoder of `hf:NAME`.

    Args:
        name: a folder with config.json and model.safetensors, or a hub id.

    Raises:
        InputError: there is no such model, or it is neither CLIP nor SigLIP.
        MissingError: it would have to be downloaded and that cannot be done now.
    """
    folder = find_folder(name, home=home, events=events)
    kind = read_json(folder / "config.json").get("model_type")
    family = _FAMILIES.get(str(kind))
    if family is None:
        known = ", ".join(_FAMILIES)
        raise InputError(f"a model of type {kind!r} is no encoder that clipcap knows", where=str(folder / "config.json"), hint=f"Known types: {known}.")
    with _quiet(folder):
        config = _transformers(family.config).from_pretrained(folder, **_LOCAL)
    vision: Any = getattr(config, "vision_config", config)
    text: Any = getattr(config, "text_config", None)
    if kind == "clip":  # the whole model goes by the outer number, a tower on its own by its own, which is often left at its default
        vision.projection_dim = text.projection_dim = config.projection_dim
    embedding_size = int(vision.projection_dim if family.image_output == "image_embeds" else vision.hidden_size)
    preprocessing = read_preprocessing(folder, family.processor)
    if preprocessing.size != vision.image_size:
        raise InputError(
            f"the network takes pictures of {vision.image_size} pixels, and its preprocessing makes {preprocessing.size}",
            where=str(folder),
            hint="Bring config.json and preprocessor_config.json of one model.",
        )
    where = choose_device(device)
    chosen, reason = choose_precision(precision, where)
    own = Path(name).expanduser()
    spec = f"hf:{own.absolute() if own.is_dir() else name}"  # a captioner must find the folder from wherever it is used

    def build() -> nn.Module:
        tower = _Tower(_tower(family.image, vision, folder), family.image_output)
        events(Note(f"{spec} runs on {where} in {chosen}: {reason}"))
        return placed(tower, where, DTYPES[chosen])

    def build_text() -> Callable[[list[str]], Tensor]:
        assert family.text is not None
        tower = placed(_tower(family.text, text, folder), where, DTYPES[chosen])
        tokens = _tokenizer(folder, pad_to_end=family.text == _SIGLIP_TEXT, length=int(text.max_position_embeddings))
        return lambda texts: getattr(tower(**{key: value.to(where) for key, value in tokens(texts).items()}), family.text_output)

    settings: dict[str, Any] = {
        "spec": spec,
        "fingerprint": fingerprint_of("transformers", [file_hash(path, home) for path in weight_files(folder)], preprocessing),
        "embedding_size": embedding_size,
        "preprocessing": preprocessing,
        "device": where,
        "precision": chosen,
        "build": build,
    }
    return ImageTextEncoder(build_text=build_text, **settings) if family.text else NetworkEncoder(**settings)


def read_preprocessing(folder: Path, defaults: dict[str, Any]) -> Preprocessing:
    """What a folder's preprocessor_config.json (or processor_config.json) asks for.

    Raises:
        InputError: it is not there, or asks for what is neither CLIP's nor SigLIP's way.
    """
    path = next((path for name in ("preprocessor_config.json", "processor_config.json") if (path := folder / name).is_file()), None)
    if path is None:
        raise InputError(
            "this folder has no preprocessor_config.json, so it is not known how its pictures are prepared", where=str(folder), hint="Bring it too."
        )
    read = read_json(path)
    asked = {"do_resize": True, "do_rescale": True, "do_normalize": True, "rescale_factor": 1 / 255, **defaults, **read.get("image_processor", read)}
    off = [key for key in ("do_resize", "do_rescale", "do_normalize") if not asked[key]]
    try:
        if off:
            raise ValueError(f"{off[0]} is off")
        size = asked["size"] if isinstance(asked["size"], dict) else {"shortest_edge": asked["size"]}
        squeeze = "shortest_edge" not in size
        resize_to = _square(size) if squeeze else int(size["shortest_edge"])
        cropped = _square(asked["crop_size"]) if asked["do_center_crop"] else resize_to
        if cropped > resize_to or not (squeeze or asked["do_center_crop"]):
            raise ValueError("its pictures do not come out as squares of one size")
        mean, std = (tuple(float(value) for value in asked[key]) for key in ("image_mean", "image_std"))
        if len(mean) != 3 or len(std) != 3 or 0.0 in std:
            raise ValueError("image_mean and image_std are not three numbers")
        return Preprocessing(cropped, resize_to, squeeze, int(asked["resample"]), "down", 1 / float(asked["rescale_factor"]), mean, std)
    except (KeyError, TypeError, ValueError, ArithmeticError) as error:
        raise InputError(
            f"this preprocessing cannot be followed: {error}", where=str(path), hint="Choose a CLIP or SigLIP model with one picture size."
        ) from error


def _square(size: Any) -> int:
    height, width = (int(size["height"]), int(size["width"])) if isinstance(size, dict) else (int(size), int(size))
    if height != width:
        raise ValueError(f"{width} x {height} is not square")
    return height


class _Tower(nn.Module):
    """Pixels to the vector among the outputs of a tower of transformers."""

    def __init__(self, tower: nn.Module, output: str) -> None:
        super().__init__()
        self.tower, self.output = tower, output

    def forward(self, pixels: Tensor) -> Tensor:
        vectors: Tensor = getattr(self.tower(pixel_values=pixels), self.output)
        return vectors


def _tower(name: str, config: Any, folder: Path) -> nn.Module:
    with _quiet(folder):
        tower, loaded = _transformers(name).from_pretrained(folder, config=config, use_safetensors=True, output_loading_info=True, **_LOCAL)
    if absent := sorted(loaded["missing_keys"]):
        raise InputError(
            f"the weights lack {len(absent)} tensors of a {name}, {absent[0]} among them", where=str(folder), hint="Bring the model's folder again."
        )
    network: nn.Module = tower
    return network


def _tokenizer(folder: Path, *, pad_to_end: bool, length: int) -> Callable[[list[str]], dict[str, Tensor]]:
    with _quiet(folder):
        tokenizer = _transformers("AutoTokenizer").from_pretrained(folder, **_LOCAL)
    # SigLIP was trained on texts padded to the full length, with no mask.
    wanted = ["input_ids"] if pad_to_end else ["input_ids", "attention_mask"]

    def tokens(texts: list[str]) -> dict[str, Tensor]:
        made = tokenizer(texts, padding="max_length" if pad_to_end else True, truncation=True, max_length=length, return_tensors="pt")
        return {key: made[key] for key in wanted}

    return tokens


def _transformers(name: str) -> Any:
    import transformers

    return getattr(transformers, name)


@contextmanager
def _quiet(folder: Path) -> Iterator[None]:
    """Without the noise of transformers, and with its errors in plain words."""
    try:
        with quiet_transformers():
            yield
    except Exception as error:  # whatever a damaged folder leads the library to
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise InputError(f"transformers cannot read this model: {reason}", where=str(folder), hint="Bring the model's folder again.") from error
