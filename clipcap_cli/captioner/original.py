"""Checkpoints of the original ClipCap code, read without running anything in them.

They are state dicts: the mapper under `clip_project.`, the language model under `gpt.`, with buffers that older releases of transformers kept. Form and sizes
follow from the shapes.
"""

from __future__ import annotations

import pickle
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from clipcap_cli.captioner.manifest import is_bundle
from clipcap_cli.captioner.mappers import Mapper, build_mapper
from clipcap_cli.encoders.state_dicts import load_state_dict
from clipcap_cli.errors import InputError

_MAPPER, _LM = "clip_project.", "gpt."
_OLD_BUFFER = re.compile(r"gpt\.transformer\.h\.\d+\.attn\.(bias|masked_bias)")
TOKEN_VECTORS = "transformer.wte.weight"
OUTPUT = "lm_head.weight"


@dataclass(frozen=True)
class Checkpoint:
    """What a checkpoint holds.

    Attributes:
        form: "mlp", "transformer" or "linear".
        mapper: its tensors, under the mapper's own names.
        language_model: its tensors, under the names of transformers; None where the file has none.
    """

    form: str
    embedding_size: int
    lm_width: int
    prefix_length: int
    clip_length: int
    layers: int
    mapper: dict[str, Tensor]
    language_model: dict[str, Tensor] | None

    def build(self, heads: int) -> Mapper:
        """The mapper with its weights, frozen.

        Raises:
            InputError: the heads do not divide the width.
        """
        mapper = self._empty(heads)
        mapper.load_state_dict({key: value.float() for key, value in self.mapper.items()}, assign=True)
        return mapper.eval().requires_grad_(False)

    def _empty(self, heads: int) -> Mapper:
        with torch.device("meta"):
            return build_mapper(
                self.form,
                embedding_size=self.embedding_size,
                lm_width=self.lm_width,
                prefix_length=self.prefix_length,
                clip_length=self.clip_length,
                layers=self.layers,
                heads=heads,
            )

    def differences(self, language_model: dict[str, tuple[int, ...]] | None = None, heads: int = 8) -> list[str]:
        """Every tensor that is missing, left over or of the wrong shape.

        Args:
            language_model: shapes that it should have; None to look at the mapper alone.
        """
        expected = {key: tuple(value.shape) for key, value in self._empty(heads).state_dict().items()}
        wrong = _differences(expected, self.mapper, _MAPPER)
        if language_model is not None and self.language_model is not None:
            tied = {} if OUTPUT in self.language_model else {OUTPUT: language_model.get(OUTPUT)}
            wrong += _differences({key: shape for key, shape in language_model.items() if key not in tied}, self.language_model, _LM)
        return wrong


def read_checkpoint(path: Path, *, lm_width: int | None = None) -> Checkpoint:
    """Read a checkpoint; nothing in it is run.

    Args:
        lm_width: of the language model; needed where the file has none of its own and the mapper's shapes do not tell it.

    Raises:
        InputError: it is no checkpoint of ClipCap, or holds more than tensors.
    """
    state = _tensors(path)
    language_model = {key.removeprefix(_LM): value for key, value in state.items() if key.startswith(_LM) and not _OLD_BUFFER.fullmatch(key)}
    mapper = {key.removeprefix(_MAPPER): value for key, value in state.items() if key.startswith(_MAPPER)}
    others = [key for key in state if not key.startswith((_LM, _MAPPER))]
    if not mapper:
        raise InputError(
            f"this is no checkpoint of ClipCap: none of its {len(state)} tensors begins with {_MAPPER!r}"
            + (f", {others[0]!r} is one of them" if others else ""),
            where=str(path),
            hint="Name a file that the original train.py wrote, such as coco_prefix-009.pt.",
        )
    vectors = language_model.get(TOKEN_VECTORS)
    width = int(vectors.shape[1]) if vectors is not None and vectors.ndim == 2 else lm_width
    checkpoint = _of_shapes(mapper, width, language_model or None, path)
    wrong = checkpoint.differences() + [f"{key} is left over" for key in others]
    if wrong:
        raise mismatch(wrong, path)
    return checkpoint


def _tensors(path: Path) -> dict[str, Tensor]:
    if path.is_dir():
        what = "a bundle already: name it with --model" if is_bundle(path) else "a folder"
        raise InputError(f"a checkpoint is a file, and this is {what}", where=str(path), hint="Name a .pt file.")
    if path.exists() and not path.is_file():
        raise InputError("this is a pipe or a device, not a file", where=str(path), hint="Name a .pt file.")
    if path.is_file() and not path.stat().st_size:
        raise InputError("this file is empty", where=str(path), hint="Bring it again.")
    try:
        found: Any = load_state_dict(path)
    except FileNotFoundError as error:
        raise InputError("there is no such file", where=str(path), hint="Name a .pt file.") from error
    except pickle.UnpicklingError as error:
        raise InputError(f"this file was refused: {_reason(error)}", where=str(path), hint=_HINT) from error
    except PermissionError as error:
        raise InputError("this file may not be read", where=str(path), hint="Give yourself the right to read it.") from error
    except OSError as error:  # mapping what is not all there
        raise InputError("this file is cut off or damaged", where=str(path), hint="Bring it again.") from error
    except Exception as error:  # what a damaged or foreign file leads the reader to
        raise InputError(f"this is no checkpoint that can be read ({_reason(error)})", where=str(path), hint=_HINT) from error
    if not isinstance(found, dict) or not found or not all(isinstance(key, str) and isinstance(value, Tensor) for key, value in found.items()):
        raise InputError("this file holds something else than named tensors", where=str(path), hint=_HINT)
    return found


_HINT = "Name a checkpoint of the original code (.pt). Its data pickles (.pkl) are read by `clipcap dataset add`."


def _reason(error: Exception) -> str:
    """What torch found, in a few words; its advice to load without a guard is left out."""
    text = str(error)
    asked = re.search(r"(?:Unsupported (?:global|class)|GLOBAL) ?:?\s*(?:GLOBAL )?[`'\"]?([\w.]+)", text)
    if asked:
        return f"it asks to run {asked[1]}, and only tensors are read"
    first = next(iter(text.strip().splitlines()), type(error).__name__)
    return first if " " in first and len(first) < 100 and "weights_only" not in first else "it holds something else than tensors, or is damaged"


def _of_shapes(mapper: dict[str, Tensor], width: int | None, language_model: dict[str, Tensor] | None, path: Path) -> Checkpoint:
    """The form and the sizes, from the names and shapes of the mapper's tensors."""
    shapes = {key: tuple(value.shape) for key, value in mapper.items()}

    def shape(key: str) -> tuple[int, ...]:
        found = shapes.get(key, ())
        if len(found) != 2:
            raise mismatch([f"{_MAPPER}{key} is {'missing' if key not in shapes else f'{found}, not a matrix'}"], path)
        return found

    if "prefix_const" in shapes or any(key.startswith("transformer.") for key in shapes):
        prefix_length, width = shape("prefix_const")
        spread, embedding_size = shape("linear.weight")
        layers = 1 + max((int(found[1]) for key in shapes if (found := re.match(r"transformer\.layers\.(\d+)\.", key))), default=-1)
        if spread % width or not layers:
            raise mismatch([f"{_MAPPER}linear.weight is {shapes['linear.weight']}, no multiple of {width} rows"], path)
        return Checkpoint("transformer", embedding_size, width, prefix_length, spread // width, layers, mapper, language_model)
    form, first, last = ("linear", "weight", "weight") if "weight" in shapes else ("mlp", "model.0.weight", "model.2.weight")
    embedding_size, out = shape(first)[1], shape(last)[0]
    if width is None:
        raise InputError(
            f"the mapper makes {out} numbers, and without its language model it is not known how many belong to one vector",
            where=str(path),
            hint="Name the language model that it was trained with: --language-model gpt2.",
        )
    if out % width:
        raise InputError(
            f"the mapper makes {out} numbers, which are no vectors of the language model's width {width}",
            where=str(path),
            hint="Name the language model that it was trained with: --language-model NAME.",
        )
    return Checkpoint(form, embedding_size, width, out // width, 10, 8, mapper, language_model)


def _differences(expected: dict[str, tuple[int, ...]], found: dict[str, Tensor], prefix: str) -> list[str]:
    wrong = [f"{prefix}{key} is missing" for key in expected if key not in found]
    wrong += [f"{prefix}{key} is left over" for key in found if key not in expected]
    return wrong + [
        f"{prefix}{key} is {tuple(found[key].shape)}, not {shape}" for key, shape in expected.items() if key in found and tuple(found[key].shape) != shape
    ]


def mismatch(wrong: list[str], path: Path, hint: str = "Name a file that the original train.py wrote.") -> InputError:
    listed = "".join(f"\n  {line}" for line in wrong)
    return InputError(f"the tensors are not those of a ClipCap checkpoint:{listed}", where=str(path), hint=hint)
