"""Where the files of a `hf:` encoder lie: a folder, the store's weights/, the hub's own cache, or the hub. Weights as safetensors only, never pickles."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from clipcap_cli.errors import InputError
from clipcap_cli.events import Listener
from clipcap_cli.storage.home import Home
from clipcap_cli.storage.hub import HUB_ID, cached_folder, download_folder
from clipcap_cli.storage.reading import parse_json, read_small

SMALL_FILES = ["*.json", "*.txt", "*.model"]  # configuration, preprocessing, tokenizer
_WANTED = [*SMALL_FILES, "model.safetensors", "model-*.safetensors"]
_UNWANTED = ["*/*"]
_WEIGHTS = "model.safetensors"
_INDEX = "model.safetensors.index.json"
# What the hub's pages state for model.safetensors.
_SIZES = {
    "openai/clip-vit-base-patch32": "605 MB",
    "openai/clip-vit-base-patch16": "599 MB",
    "openai/clip-vit-large-patch14": "1.7 GB",
    "openai/clip-vit-large-patch14-336": "1.7 GB",
    "google/siglip-base-patch16-224": "813 MB",
    "google/siglip-so400m-patch14-384": "3.5 GB",
}


def check_name(name: str) -> None:
    """Whether `name` can name a model; whether it is there is not looked at.

    Raises:
        InputError: it is neither a folder nor what a hub id can be.
    """
    path = Path(name).expanduser()
    if path.is_dir() or (HUB_ID.fullmatch(name) and not path.exists()):
        return
    what = "is a file" if path.exists() else "is not there"
    raise InputError(
        f"a model of transformers is a folder, and {name!r} {what}",
        hint="Write hf: and a folder with config.json, or a hub id, as in hf:google/siglip-base-patch16-224.",
    )


def find_folder(name: str, *, home: Home, events: Listener) -> Path:
    """The folder of the model that `name` means, checked for configuration and weights.

    Raises:
        InputError: there is no such model, or the folder lacks what is needed.
        MissingError: it would have to be downloaded and that cannot be done now.
        StoreError: the download cannot be written.
    """
    check_name(name)
    for folder in (Path(name).expanduser(), home.weights / name):
        if folder.is_dir():
            weight_files(folder)
            return folder
    folder = _cached(name) or _download(name, home.weights / name, events)
    weight_files(folder)
    return folder


def weight_files(folder: Path) -> list[Path]:
    """The configuration and the safetensors files that the network of a folder is made of, in a fixed order.

    Raises:
        InputError: some are not there.
    """
    config = folder / "config.json"
    if not config.is_file():
        raise InputError("this folder is no model: it has no config.json", where=str(folder), hint="Name the folder that save_pretrained wrote.")
    if (folder / _WEIGHTS).is_file():
        return [config, folder / _WEIGHTS]
    if (folder / _INDEX).is_file():
        parts = sorted(set(read_json(folder / _INDEX).get("weight_map", {}).values()))
        absent = [part for part in parts if not (folder / part).is_file()]
        if absent or not parts:
            raise InputError(f"a part of the weights is not there: {absent[0] if absent else 'any'}", where=str(folder), hint="Bring the whole folder.")
        return [config, *(folder / part for part in parts)]
    pickled = next((path.name for path in sorted(folder.glob("*.bin"))), None)
    if pickled:
        code = f"from transformers import AutoModel as M; M.from_pretrained('{folder}').save_pretrained('{folder}')"
        message, hint = f"only {pickled}, a pickle, which clipcap never opens", f'If you trust it, convert it once: python -c "{code}"'
    else:
        message, hint = f"no {_WEIGHTS}", "Bring the whole folder."
    raise InputError(f"the weights of this model cannot be read: the folder has {message}", where=str(folder), hint=hint)


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a model's folder.

    Raises:
        InputError: it is not one.
    """
    try:
        value = parse_json(read_small(path))
    except (OSError, ValueError) as error:
        raise InputError(f"this file cannot be read as JSON ({error})", where=str(path), hint="Bring the model's folder again.") from error
    if not isinstance(value, dict):
        raise InputError("this file holds no JSON object", where=str(path), hint="Bring the model's folder again.")
    return value


def _cached(name: str) -> Path | None:
    folder = cached_folder(name)
    try:
        return folder if folder and weight_files(folder) else None
    except InputError:  # an earlier download broke off, or fetched other files
        return None


def _download(name: str, brought: Path, events: Listener) -> Path:
    return download_folder(
        name, kind="encoder", size=_SIZES.get(name), wanted=_WANTED, unwanted=_UNWANTED, by_hand=f"copy its folder to {brought}", events=events
    )
