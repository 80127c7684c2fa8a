"""The two modules of OpenAI's `clip` package that are used, loaded without the rest of it.

`import clip` runs the package's `__init__`, which needs torchvision and pkg_resources; `clip/model.py` and `clip/simple_tokenizer.py` need neither. They are
loaded from their files under names of their own, so that it does not matter whether torchvision is there, absent, or made for another torch.
"""

from __future__ import annotations

import importlib.util
import sys
import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from clipcap_cli.errors import MissingError

if TYPE_CHECKING:
    from torch import Tensor

_START, _END = "<|startoftext|>", "<|endoftext|>"


def is_installed() -> bool:
    """Whether the package is there (the registry's `clip` is another one)."""
    return _folder() is not None


def check() -> None:
    """Refuse to go on without the package.

    Raises:
        MissingError: the package is not installed.
    """
    if not is_installed():
        raise MissingError("OpenAI's package `clip` is not installed", hint="pip install openai-clip")


@cache
def model() -> ModuleType:
    """The module `clip.model`: `build_model(state_dict)`, `CLIP`."""
    return _load("model")


def tokenizer(context_length: int) -> Callable[[list[str]], Tensor]:
    """The function from texts to tokens [n, context_length], as `clip.tokenize(texts, truncate=True)` gives them.

    Source: `tokenize` in clip/clip.py.
    """
    import torch

    words = _words()

    def tokens(texts: list[str]) -> Tensor:
        rows = torch.zeros(len(texts), context_length, dtype=torch.long)
        for row, text in zip(rows, texts, strict=True):
            ids = words.encode(text)[: context_length - 2]
            row[: len(ids) + 2] = torch.tensor([words.encoder[_START], *ids, words.encoder[_END]])
        return rows

    return tokens


@cache
def _words() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # it leaves its vocabulary's file to be closed by the garbage collector
        return _load("simple_tokenizer").SimpleTokenizer()


def _folder() -> Path | None:
    try:
        spec = importlib.util.find_spec("clip")
    except (ImportError, ValueError):
        return None
    folders = [Path(folder) for folder in (spec.submodule_search_locations or ())] if spec else []
    return next((folder for folder in folders if all((folder / f"{name}.py").is_file() for name in ("model", "simple_tokenizer"))), None)


def _load(name: str) -> ModuleType:
    check()
    folder = _folder()
    assert folder is not None
    spec = importlib.util.spec_from_file_location(f"clipcap_cli.encoders._clip_{name}", folder / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module
