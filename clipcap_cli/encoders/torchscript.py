"""The tensors of a TorchScript archive, without running anything that is in it.

`torch.jit.load` runs the archive's own code where a class of it says how to restore itself, so it is no way to open a stranger's file. An archive is a zip of
`data.pkl` (the tree of objects, as a pickle) and `data/N` (the bytes of the tensors). Here the pickle is read with a closed list of names, none of which does
more than hold what it is given.

Source: the format as torch/csrc/jit/serialization/pickler.cpp writes it.
"""

from __future__ import annotations

import io
import math
import pickle
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

from clipcap_cli.storage.guards import check_memo

_STORAGES = {
    "DoubleStorage": torch.float64,
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}


def is_torchscript(path: Path) -> bool:
    """Whether the file is a TorchScript archive (and not a state dict, which is a zip too)."""
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any(name.endswith("/constants.pkl") for name in archive.namelist())


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Every tensor of the archive's module and its submodules, by its dotted name, on the CPU.

    Raises:
        ValueError: the archive holds something that a module of tensors does not, or is damaged.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            top = next(name for name in archive.namelist() if name.endswith("/data.pkl")).removesuffix("data.pkl")
            return dict(_tensors(_Reader(_stored(archive, f"{top}data.pkl"), archive, top).load(), ""))
    except Exception as error:  # damaged pickles fail in any way
        raise ValueError(f"the archive cannot be read ({error})") from error


def _stored(archive: zipfile.ZipFile, name: str) -> bytes:
    """A file of the archive; torch compresses neither tensors nor their names, and a small file must not become a large one."""
    entry = archive.getinfo(name)
    if entry.compress_type != zipfile.ZIP_STORED:
        raise pickle.UnpicklingError("its tensors are compressed")
    return archive.read(entry)


class _Held:
    """An object of a class that the archive defines: only its attributes are kept."""

    attributes: Mapping[str, object] = MappingProxyType({})

    def __setstate__(self, state: object) -> None:
        self.attributes = state if isinstance(state, dict) else {}


def _rebuild(storage: Tensor, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *_: object) -> Tensor:
    if math.prod(size) > storage.numel():
        raise pickle.UnpicklingError("it has a tensor larger than its bytes")
    return torch.as_strided(storage, size, stride, offset).clone()  # as_strided refuses what lies outside of the storage


def _nothing(*_: object) -> None:
    """Stands for the lists and device names between the tensors."""


class _Reader(pickle.Unpickler):
    def __init__(self, data: bytes, archive: zipfile.ZipFile, top: str) -> None:
        check_memo(data)
        super().__init__(io.BytesIO(data))
        self.archive, self.top = archive, top
        self.storages: dict[str, Tensor] = {}

    def find_class(self, module: str, name: str) -> Any:
        if module == "__torch__" or module.startswith("__torch__."):
            return _Held
        if module == "torch" and name in _STORAGES:
            return _STORAGES[name]
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _rebuild
        if (module, name) == ("collections", "OrderedDict"):
            return dict
        if module == "torch.jit._pickle":
            return _nothing
        raise pickle.UnpicklingError(f"it names {module}.{name}")

    def persistent_load(self, pid: Any) -> Tensor:
        _, dtype, key, _, count = pid
        if key not in self.storages:
            data = bytearray(_stored(self.archive, f"{self.top}data/{key}"))
            if not 0 <= count * dtype.itemsize <= len(data):
                raise pickle.UnpicklingError("it has a tensor larger than its bytes")
            self.storages[key] = torch.frombuffer(data, dtype=dtype, count=count) if count else torch.empty(0, dtype=dtype)
        return self.storages[key]


def _tensors(module: object, prefix: str) -> Iterator[tuple[str, Tensor]]:
    if isinstance(module, _Held):
        for name, value in module.attributes.items():
            if isinstance(value, Tensor):
                yield f"{prefix}{name}", value
            else:
                yield from _tensors(value, f"{prefix}{name}.")
