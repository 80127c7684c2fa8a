"""The data pickles of the original ClipCap code: embeddings and captions in one file, read without running anything in it.

parse_coco, parse_conceptual and parse_food write `{"clip_embedding": tensor [N, D], "captions": [row, …]}`; a row has a caption, a picture's name and the
number of its embedding, and is a dict or, from parse_food, a pandas Series. Only what such files need is looked up, by exact name, and as good as all of it is
replaced by objects that do nothing but hold what they are given.
"""

from __future__ import annotations

import hashlib
import io
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from mmap import ACCESS_READ, mmap
from pathlib import Path, PurePosixPath
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from clipcap_cli.errors import InputError
from clipcap_cli.storage.guards import check_memo, check_stored

Kind = Literal["coco", "conceptual", "food"]
TOKEN_CACHE = "_tokens.pkl"
_HINT = "Name a file that parse_coco.py, parse_conceptual.py or parse_food.py wrote. A checkpoint (.pt) is taken by `clipcap model import`."
_PREFIX = b"clipcap embedding\0"
_NUMBERS = frozenset(["i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8", "b1"])
# How COCO's pictures are called.
_COCO = ("COCO_train2014_{:0>12}", "COCO_val2014_{:0>12}", "{:0>12}")


@dataclass(frozen=True, slots=True)
class OriginalCaption:
    """A row: the caption, the picture's name as the file has it, and the row of its embedding."""

    text: str
    image: str
    row: int


@dataclass(frozen=True)
class OriginalData:
    """What a data pickle holds.

    Attributes:
        vectors: fp16 or fp32 [N, D].
        misaligned: the numbers of the embeddings began again at 0 in the middle, as parse_conceptual.py writes its file of the training split; `row` is the
            position.
    """

    kind: Kind
    vectors: NDArray[Any]
    captions: Sequence[OriginalCaption]
    misaligned: bool

    def vector_id(self, row: int) -> str:
        """An image id for a picture of which only the embedding is known: equal embeddings, equal ids."""
        return hashlib.sha256(_PREFIX + self.vectors[row].astype("<f2").tobytes()).hexdigest()[:32]


def read_original(path: Path) -> OriginalData:
    """Read a data pickle of the original code.

    Raises:
        InputError: it is something else, damaged, or asks to run anything.
    """
    try:
        stat = path.stat()
    except OSError as error:
        raise InputError("there is no such file", where=str(path), hint=_HINT) from error
    if not path.is_file():
        raise InputError("this is a folder" if path.is_dir() else "this is a pipe or a device, not a file", where=str(path), hint=_HINT)
    return _read(path, stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=1)  # looked at once to know what it is, and once for what is in it
def _read(path: Path, size: int, mtime_ns: int) -> OriginalData:
    if path.name.endswith(TOKEN_CACHE):
        raise InputError(
            "this is the token cache that train.py keeps beside its data; it is never read", where=str(path), hint="Name the file without _tokens."
        )
    try:
        if not size:
            raise EOFError
        with path.open("rb") as stream:
            with mmap(stream.fileno(), 0, access=ACCESS_READ) as data:
                check_memo(data)
            found = _Unpickler(stream).load()
        return _interpret(found, path)
    except InputError:
        raise
    except _RefusedError as error:
        raise InputError(f"this file was refused: it asks for {error}, which no data file of the original code needs", where=str(path), hint=_HINT) from error
    except EOFError as error:
        raise InputError("this file is empty or cut off", where=str(path), hint="Bring it again.") from error
    except Exception as error:  # what a damaged or foreign file leads the reader to
        reason = next(iter(str(error).strip().splitlines()), "") or type(error).__name__
        raise InputError(f"this is no data pickle that can be read ({reason})", where=str(path), hint=_HINT) from error


class _RefusedError(Exception):
    """A name that is not on the list."""


class _Unpickler(pickle.Unpickler):
    def __init__(self, stream: Any) -> None:
        super().__init__(stream)
        self._known = _known()

    def find_class(self, module: str, name: str) -> Any:
        try:
            return self._known[module, name]
        except KeyError:
            raise _RefusedError(f"{module}.{name}") from None


def _known() -> dict[tuple[str, str], Any]:
    """Every name that an honest file looks up. The stand-ins are made anew for each file: what one does to them cannot reach the next."""
    inert = {
        "ndarray": [("numpy", "ndarray")],
        "dtype": [("numpy", "dtype")],
        "array": [("numpy._core.multiarray", "_reconstruct"), ("numpy.core.multiarray", "_reconstruct")],
        "scalar": [("numpy._core.multiarray", "scalar"), ("numpy.core.multiarray", "scalar")],
        "array backed": [("pandas._libs.arrays", "__pyx_unpickle_NDArrayBacked")],
        "series": [("pandas", "Series"), ("pandas.core.series", "Series")],
        "manager": [("pandas.core.internals.managers", "SingleBlockManager")],
        "new index": [("pandas.core.indexes.base", "_new_Index")],
        "other": [
            ("pandas", "Index"),
            ("pandas.core.indexes.base", "Index"),
            ("pandas", "StringDtype"),
            ("pandas.core.arrays.string_", "StringDtype"),
            ("pandas.arrays", "StringArray"),
            ("pandas.core.arrays.string_", "StringArray"),
            ("builtins", "slice"),
            ("__builtin__", "slice"),
        ],
    }
    known: dict[tuple[str, str], Any] = {}
    for what, names in inert.items():
        stand_in = type("StandIn", (_Inert,), {"what": what})
        known |= dict.fromkeys(names, stand_in)
    known["collections", "OrderedDict"] = OrderedDict
    known["torch._utils", "_rebuild_tensor_v2"] = _tensor
    known["torch.storage", "_load_from_bytes"] = _storage
    known["_codecs", "encode"] = _latin1
    return known


class _Inert:
    """Holds what a pickle makes an object of; `what` tells which object it would have been."""

    what = ""
    args: tuple[Any, ...]
    state: Any

    def __new__(cls, *args: Any) -> _Inert:
        made = super().__new__(cls)
        made.args, made.state = args, None
        return made

    def __init__(self, *args: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        self.state = state


def _storage(data: bytes) -> Any:
    """What `torch.storage._load_from_bytes` does, which is itself a load of anything, with weights only."""
    import torch

    if zipfile.is_zipfile(io.BytesIO(data)):
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            check_stored(archive, len(data))
    try:
        return torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise _RefusedError("more than numbers inside its tensor") from error


def _tensor(storage: Any, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *_: Any) -> NDArray[Any]:
    """A tensor as an array; what names more numbers than there are is refused before anything is allocated."""
    import torch

    if not isinstance(storage, torch.storage.TypedStorage | torch.UntypedStorage):
        raise ValueError("its tensor has no numbers")
    values = torch.tensor([], dtype=getattr(storage, "dtype", torch.uint8)).set_(storage)
    count = 1
    for length in size:
        count *= length
    if count > len(values) or min((*size, *stride, offset), default=0) < 0:
        raise ValueError(f"its tensor names {count:,} numbers, and the file has {len(values):,}")
    made = torch.as_strided(values, size, stride, offset)
    array: NDArray[Any] = (made if made.dtype in (torch.float16, torch.float32) else made.float()).contiguous().numpy()
    return array


def _latin1(text: str, encoding: str) -> bytes:
    """How protocol 2 writes bytes."""
    if encoding != "latin1":
        raise ValueError(f"bytes are written as latin1, not {encoding}")
    return text.encode("latin1")


def _interpret(found: Any, path: Path) -> OriginalData:
    if isinstance(found, dict) and {"parsed", "info"} <= found.keys():
        message = "this is what parse_conceptual.py keeps while it downloads: links and captions, and no embeddings"
        raise InputError(message, where=str(path), hint="Name its other file, conceptual_clip_MODEL_SPLIT.pkl.")
    missing = [key for key in ("clip_embedding", "captions") if not isinstance(found, dict) or key not in found]
    if missing:
        raise InputError(f"this is no data pickle of the original code: it has no {' and no '.join(missing)}", where=str(path), hint=_HINT)
    vectors, rows = found["clip_embedding"], found["captions"]
    if not isinstance(vectors, np.ndarray) or vectors.ndim != 2 or not isinstance(rows, list):
        raise InputError("clip_embedding is no matrix, or captions no list", where=str(path), hint=_HINT)
    values = [_values(row, number, path) for number, row in enumerate(rows)]
    kind: Kind = "food" if any("Captions" in row for row in values) else "coco" if any("id" in row for row in values) else "conceptual"
    captions = [_caption(row, number, kind, path) for number, row in enumerate(values)]
    misaligned = kind == "conceptual" and _begins_again([caption.row for caption in captions], len(vectors))
    if misaligned:
        captions = [OriginalCaption(caption.text, caption.image, number) for number, caption in enumerate(captions)]
    return OriginalData(kind, vectors, captions, misaligned)


def _values(row: Any, number: int, path: Path) -> dict[str, Any]:
    if isinstance(row, dict):
        return {str(key): _plain(value) for key, value in row.items()}
    if isinstance(row, _Inert) and row.what == "series":
        axes, blocks = row.state["_mgr"].state[:2]
        labels, values = _elements(axes[0]), _elements(blocks[0])
        if len(labels) == len(values):
            return {str(key): _plain(value) for key, value in zip(labels, values, strict=True)}
    raise InputError("this row is neither a dict nor a row of a table", where=f"{path}, caption {number}", hint=_HINT)


def _elements(array: Any) -> list[Any]:
    """The elements of an array of objects, wherever pandas has put it."""
    if isinstance(array, _Inert):
        if array.what == "array":
            return list(array.state[-1])
        if array.what == "new index":
            return _elements(array.args[1]["data"])
        return _elements(array.state)
    for part in array if isinstance(array, tuple | list) else ():
        if isinstance(part, _Inert) and part.what in ("array", "array backed"):
            return _elements(part)
    raise ValueError("a row of its table cannot be read")


def _plain(value: Any) -> Any:
    """A numpy number as a plain one."""
    if isinstance(value, _Inert) and value.what == "scalar":
        kind, data = value.args
        code = kind.args[0]
        if code not in _NUMBERS:
            raise ValueError(f"a number of kind {code!r}")
        return np.frombuffer(data, np.dtype(f"<{code}"))[0].item()
    return value


def _caption(row: dict[str, Any], number: int, kind: Kind, path: Path) -> OriginalCaption:
    text, image = (row.get("Captions"), row.get("Index")) if kind == "food" else (row.get("caption"), row.get("image_id"))
    index = row.get("clip_embedding")
    where = f"{path}, caption {number}"
    if isinstance(index, bool) or not isinstance(index, int) or not isinstance(text, str | float | None):
        raise InputError("this row has no caption, or no number of an embedding", where=where, hint=_HINT)
    if index < 0:
        raise InputError(
            f"this row names embedding {index}, and they count from 0", where=where, hint="The original code would take one from the end. Mend the file."
        )
    return OriginalCaption(text if isinstance(text, str) else "", str(image if image is not None else ""), index)


def _begins_again(rows: list[int], vectors: int) -> bool:
    """Whether the numbers count up and begin again at 0, as many as there are embeddings: then the position is right, and the number is not."""
    if len(rows) != vectors or rows == list(range(len(rows))):
        return False
    return rows[0] == 0 and all(after in (before + 1, 0) for before, after in pairwise(rows))


def picture_names(image: str, kind: Kind) -> list[str]:
    """Names, without ending, that the file of a picture may have."""
    stem = str(PurePosixPath(image).with_suffix("")) if PurePosixPath(image).suffix else image
    return [stem, *(name.format(stem) for name in _COCO)] if kind == "coco" and stem.isdecimal() else [stem]
