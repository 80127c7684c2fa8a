"""captioner.json: what a bundle says about itself. Reading it needs no torch.

captioner.json        this
mapper.safetensors    the mapper's tensors, and `preparation.mean`, `preparation.scale` where embeddings are standardised
lm/                   the language model with its tokenizer, where it was tuned or the bundle is self-contained
adapter/              what is added to the language model, where adapters were trained
README.md             the model card
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from clipcap_cli.errors import InputError
from clipcap_cli.recipe.schema import Decode, MapperPart

FORMAT: Final = 1
NAME = "captioner.json"
MAPPER = "mapper.safetensors"
LANGUAGE_MODEL = "lm"
ADAPTER = "adapter"
_HINT = "Bring back the bundle as it was made."


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class EncoderEntry(_Part):
    """The encoder that the mapper was trained with."""

    spec: str
    fingerprint: str
    embedding_size: int = Field(ge=1)


class PreparationEntry(_Part):
    """What is done to an embedding before the mapper."""

    normalize: bool
    standardize: bool


class LanguageModelEntry(_Part):
    """The language model: `content` is the hash of the stock weights under its name, `inside` tells whether lm/ holds what is to be used,
    `adapter` whether what is in adapter/ is to be added to it."""

    name: str
    width: int = Field(ge=1)
    tuned: bool
    inside: bool
    content: str
    adapter: bool = False


class Manifest(_Part):
    """All of captioner.json; `files` has the SHA-256 of each file but this one and the model card."""

    format: Literal[1]
    clipcap: str
    created: str
    encoder: EncoderEntry
    preparation: PreparationEntry
    mapper: MapperPart
    language_model: LanguageModelEntry
    decode: Decode
    info: dict[str, Any]
    files: dict[str, str]


def is_bundle(folder: Path) -> bool:
    """Whether a bundle lies there."""
    return (folder / NAME).is_file()


def read_manifest(folder: Path) -> Manifest:
    """The manifest of the bundle in `folder`; its files are not looked at.

    Raises:
        InputError: no bundle is there, it was written by a newer clipcap, or captioner.json is not as clipcap writes it.
    """
    path = folder / NAME
    try:
        text = path.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError) as error:
        raise InputError(
            "no captioner is here", where=str(folder), hint=f"A bundle is a folder with {NAME} in it; `clipcap model list` lists yours."
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"this captioner cannot be read: {error}", where=str(path)) from error
    try:
        found = json.loads(text)
        number = found.get("format") if isinstance(found, dict) else None
        if isinstance(number, int) and number > FORMAT:
            raise InputError(f"this captioner has format {number}, and this clipcap knows {FORMAT}", where=str(path), hint="Update clipcap.")
        return Manifest.model_validate(found)
    except json.JSONDecodeError as error:
        raise InputError(f"{NAME} is not JSON: {error.msg}", where=f"{path}:{error.lineno}", hint=_HINT) from error
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        raise InputError(f"{NAME} is not as clipcap writes it: {key + ': ' if key else ''}{first['msg']}", where=str(path), hint=_HINT) from error
