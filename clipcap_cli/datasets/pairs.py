"""Captions with their pictures as columns: what training reads, in little memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

_ID_LENGTH = 32


@dataclass(frozen=True)
class Pairs:
    """Captions with their pictures, as columns.

    Attributes:
        image_ids: bytes of 32 hex digits, [pictures].
        captions: an Arrow array of texts, [captions].
        pictures: the row of each caption's picture in `image_ids`, int64 [captions].
    """

    image_ids: np.ndarray
    captions: Any
    pictures: np.ndarray

    def bytes_of_captions(self) -> np.ndarray:
        """Length of each caption in UTF-8, int64 [captions]."""
        import pyarrow.compute as pc

        lengths: np.ndarray = pc.binary_length(self.captions).to_numpy().astype("int64")
        return lengths

    def of(self, there: np.ndarray) -> Pairs:
        """Those of the pictures for which `there` [pictures] says so."""
        import pyarrow as pa

        mine = there[self.pictures]
        return Pairs(self.image_ids[there], self.captions.filter(pa.array(mine)), (there.cumsum() - 1)[self.pictures[mine]])


def ids_of(column: Any) -> np.ndarray:
    """An Arrow column of ids as an array; ids as they always are lie end to end, and become no Python objects."""
    import numpy as np
    import pyarrow.compute as pc

    array = column.combine_chunks()
    if len(array) and array.offset == 0 and pc.all(pc.equal(pc.binary_length(array), _ID_LENGTH)).as_py():
        return np.frombuffer(array.buffers()[2], f"S{_ID_LENGTH}", len(array))
    found: np.ndarray = array.to_numpy(zero_copy_only=False).astype(f"S{_ID_LENGTH}")
    return found
