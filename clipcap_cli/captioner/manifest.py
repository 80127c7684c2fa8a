"""captioner.json: what a bundle says about itself. Reading it needs no torch.

captioner.json        this
mapper.safetensors    the mapper's tensors, and `preparation.mean`, `preparation.scale` where embeddings are standardised
lm/                   the language model with its tokenizer, where it was tuned or the bundle is self-contained
adapter/              what is added to the language model, where adapters were trained
encoder/              the encoder, where the bundle is self-contained
README.md             the model card
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from clipcap_cli.errors import InputError
from clipcap_cli.recipe.schema import Decode, MapperPart
from clipcap_cli.storage.reading import read_small

FORMAT: Final = 2  # 2: may say `encoder.inside` and `language_model.revision`
NAME = "captioner.json"
MAPPER = "mapper.safetensors"
LANGUAGE_MODEL = "lm"
ADAPTER = "adapter"
ENCODER = "encoder"
CARD = "README.md"
LIMIT = 1 << 24  # bytes of captioner.json and of the model card: 16 MB is far more than any has
ROOMS = (LANGUAGE_MODEL, ADAPTER, ENCODER)
_BELONGS = re.compile(rf"{re.escape(NAME)}|{re.escape(MAPPER)}|{re.escape(CARD)}|({'|'.join(ROOMS)})/[A-Za-z0-9_][\w.-]*\.(json|safetensors|txt|model|jinja)")
_WIDEST = 1 << 20  # numbers of a vector: no encoder or language model has as many
_HINT = "Bring back the bundle as it was made."


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class EncoderInside(_Part):
    """The same encoder in the files of the bundle: `family` of encoders, `path` in the bundle, and the fingerprint that it has there. It is another one than
    outside, since the weights lie in another file."""

    family: str
    path: str = Field(pattern=rf"^{ENCODER}(/[A-Za-z0-9_][\w.-]*)?$")
    fingerprint: str


class EncoderEntry(_Part):
    """The encoder that the mapper was trained with."""

    spec: str
    fingerprint: str
    embedding_size: int = Field(ge=1, le=_WIDEST)
    inside: EncoderInside | None = None


class PreparationEntry(_Part):
    """What is done to an embedding before the mapper."""

    normalize: bool
    standardize: bool


class LanguageModelEntry(_Part):
    """The language model: `content` is the hash of the stock weights under its name, `inside` tells whether lm/ holds what is to be used,
    `adapter` whether what is in adapter/ is to be added to it; `revision` is the hub's, where they came from there."""

    name: str
    width: int = Field(ge=1, le=_WIDEST)
    tuned: bool
    inside: bool
    content: str
    adapter: bool = False
    revision: str | None = Field(None, pattern=r"^[0-9a-f]{40}$")


class Manifest(_Part):
    """All of captioner.json; `files` has the SHA-256 of each file but this one and the model card."""

    format: Literal[1, 2]
    clipcap: str
    created: str
    encoder: EncoderEntry
    preparation: PreparationEntry
    mapper: MapperPart
    language_model: LanguageModelEntry
    decode: Decode
    info: dict[str, Any]
    files: dict[str, str]

    def to_json(self) -> str:
        """captioner.json, in the oldest format that can say it: an older clipcap refuses keys that it does not know."""
        values = self.model_dump(mode="json")
        newer = [(values[part], key) for part, key in (("encoder", "inside"), ("language_model", "revision"))]
        values["format"] = 2 if any(part[key] for part, key in newer) else 1
        for part, key in newer:
            if part[key] is None:
                del part[key]
        return json.dumps(values, indent=2, ensure_ascii=False) + "\n"


def belongs(path: str) -> bool:
    """Whether a file of this path may be in a bundle. Pickles and code may not."""
    return _BELONGS.fullmatch(path) is not None


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
        text = read_small(path, LIMIT)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise InputError(
            "no captioner is here", where=str(folder), hint=f"A bundle is a folder with {NAME} in it; `clipcap model list` lists yours."
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise InputError(f"this captioner cannot be read: {reason}", where=str(path), hint=_HINT) from error
    try:
        found = json.loads(text)
        check_not_onnx(found, folder, f"python {folder / 'caption.py'} PICTURE")
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
    except (ValueError, RecursionError) as error:  # a number of 10,000 digits; brackets in brackets
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise InputError(f"this captioner cannot be read: {reason}", where=str(path), hint=_HINT) from error


def check_not_onnx(facts: Any, where: Path, hint: str) -> None:
    """Whether a captioner.json is not that of an onnx export, which has one of another kind.

    Args:
        facts: all that it says.
        hint: what to do with an export of that kind.

    Raises:
        InputError: it is.
    """
    if isinstance(facts, dict) and facts.get("kind") == "onnx":
        raise InputError("this is an onnx export, which captions by itself and not through clipcap", where=str(where), hint=hint)
