"""Where a language model's files lie: what a name means, and how they get here.

A name is `builtin:nano`, a folder, or a hub id. Whatever it is, a folder comes out, checked for the files that are needed; nothing in it was executed.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from clipcap_cli.errors import InputError
from clipcap_cli.events import Listener, silent
from clipcap_cli.storage.hashing import sha256_of_bytes, sha256_of_file
from clipcap_cli.storage.home import Home
from clipcap_cli.storage.hub import HUB_ID, cached_folder, download_folder
from clipcap_cli.storage.names import unknown
from clipcap_cli.storage.reading import read_json

_BUILTIN = "builtin:"
_BUILTINS = Path(__file__).parent / "builtin"
# Of the repository's root: the configuration, the weights as safetensors, the tokenizer. Never pickles.
_WANTED = ["*.json", "*.safetensors", "*.txt", "*.model", "*.jinja"]
_UNWANTED = ["*/*", "consolidated*"]
_WEIGHTS = "*.safetensors"
_REVISION = re.compile(r"[0-9a-f]{40}")
# What the hub's pages state for model.safetensors.
_SIZES = {
    "gpt2": "548 MB",
    "openai-community/gpt2": "548 MB",
    "gpt2-medium": "1.5 GB",
    "gpt2-large": "3.2 GB",
    "gpt2-xl": "6.4 GB",
    "distilgpt2": "353 MB",
    "HuggingFaceTB/SmolLM2-135M": "269 MB",
    "HuggingFaceTB/SmolLM2-360M": "724 MB",
}


def find_folder(name: str, *, home: Home | None = None, weights: bool = True, revision: str | None = None, events: Listener = silent) -> Path:
    """The folder of the language model that `name` means.

    Looked for in this order: what ships with clipcap, a folder of that path, a folder of that name in the store's `weights/`, the hub's local cache, the hub.

    Args:
        weights: without them, its configuration and tokenizer will do: a few MB.
        revision: of the hub, 40 hex digits: this one is downloaded; another one that is in the local cache will do, since whoever needs the very same weights
            looks at their hash.

    Raises:
        InputError: there is no such model, or the folder lacks what is needed.
        MissingError: it would have to be downloaded and that cannot be done now.
        StoreError: the download cannot be written.
    """
    if name.startswith(_BUILTIN):
        known = [_BUILTIN + path.name for path in _BUILTINS.iterdir()] if _BUILTINS.is_dir() else []
        if name not in known:
            raise unknown("language model", name, known, listing="clipcap doctor")
        return check_folder(_BUILTINS / name.removeprefix(_BUILTIN))
    path = Path(name).expanduser()
    if path.is_dir():
        return check_folder(path, weights=weights)
    if path.exists() or not HUB_ID.fullmatch(name):
        what = "is a file" if path.exists() else "is not there"
        raise InputError(
            f"a language model is a folder, and {name!r} {what}",
            where="language_model.name",
            hint="Name a folder with config.json, model.safetensors and a tokenizer, a hub id such as gpt2, or builtin:nano.",
        )
    brought = home.weights / name if home else None
    if brought and brought.is_dir():
        return check_folder(brought, weights=weights)
    cached = (revision and _cached(name, weights, revision)) or _cached(name, weights)
    return check_folder(cached or _download(name, brought, weights, revision, events), weights=weights)


def check_folder(folder: Path, *, weights: bool = True) -> Path:
    """`folder`, if it holds a configuration and, unless they do not matter, weights as safetensors.

    Raises:
        InputError: it does not.
    """
    if not (folder / "config.json").is_file():
        raise InputError("this folder is no language model: it has no config.json", where=str(folder), hint="Name the folder that save_pretrained wrote.")
    if weights and not weight_files(folder):
        pickled = [path.name for pattern in ("*.bin", "*.pt", "*.pth", "*.ckpt") for path in sorted(folder.glob(pattern))]
        what = f"only {pickled[0]}, a pickle, which clipcap never opens" if pickled else "no .safetensors file"
        convert = f"python -c \"from transformers import AutoModelForCausalLM as M; M.from_pretrained('{folder}').save_pretrained('{folder}')\""
        raise InputError(
            f"the weights of this language model cannot be read: the folder has {what}",
            where=str(folder),
            hint=f"If you trust it, convert it once: {convert}" if pickled else "Put model.safetensors there.",
        )
    return folder


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files of a language model's folder, in order of their names."""
    return sorted(folder.glob("*.safetensors"))


def copy_folder(folder: Path, to: Path) -> None:
    """Copy what belongs to a language model, and nothing else of its folder, to the new folder `to`."""
    to.mkdir()
    for pattern in _WANTED:
        for path in folder.glob(pattern):
            shutil.copyfile(path, to / path.name)


def revision_of(folder: Path) -> str | None:
    """The hub's revision of a folder in its local cache; None for any other folder."""
    return folder.name if folder.parent.name == "snapshots" and _REVISION.fullmatch(folder.name) else None


def hash_of_weights(folder: Path) -> str:
    """64 hex digits that change when any weight file of the folder does."""
    return sha256_of_bytes("".join(sha256_of_file(path) for path in weight_files(folder)).encode())


def _cached(name: str, weights: bool, revision: str | None = None) -> Path | None:
    folder = cached_folder(name, revision)
    return folder if folder and _is_whole(folder, weights) else None


def _is_whole(folder: Path, weights: bool) -> bool:
    """Whether an earlier download was not broken off."""
    index = folder / "model.safetensors.index.json"
    try:
        shards = set(read_json(index)["weight_map"].values()) if index.is_file() else set()
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False
    tokenizer = any((folder / name).is_file() for name in ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt"))
    return tokenizer and (not weights or (bool(weight_files(folder)) and all((folder / shard).is_file() for shard in shards)))


def _download(name: str, brought: Path | None, weights: bool, revision: str | None, events: Listener) -> Path:
    place = f" or copy it to {brought}" if brought else ""
    return download_folder(
        name,
        kind="language model",
        size=_SIZES.get(name) if weights else "without weights: a few MB",
        wanted=_WANTED if weights else [pattern for pattern in _WANTED if pattern != _WEIGHTS],
        unwanted=_UNWANTED,
        revision=revision,
        by_hand=f"name its folder (language_model.name, or --language-model){place}",
        events=events,
    )
