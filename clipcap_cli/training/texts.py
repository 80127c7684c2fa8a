"""Learning from text alone: the embedding of a caption is that of the caption itself, by the encoder's text tower.

Where pictures and texts share a space, a captioner that has learned to say a text's embedding, with noise on it, can say a picture's.
Source: CapDec (Nukrai et al., Text-Only Training for Image Captioning using Noise-Injected CLIP, arXiv 2211.00575), section 3.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from clipcap_cli.datasets.pairs import Pairs
from clipcap_cli.datasets.records import clean_caption
from clipcap_cli.embeddings.texts import text_ids
from clipcap_cli.errors import InputError
from clipcap_cli.storage.reading import check_plain

_LARGEST = 2**30  # bytes; the captions of Conceptual 12M have 0.9 GB


def pairs_of_texts(texts: list[str]) -> Pairs:
    """Each text as a caption, whose picture is the text itself."""
    import pyarrow as pa

    return Pairs(text_ids(texts), pa.array(texts, pa.string()), np.arange(len(texts)))


def read_texts(path: str) -> list[str]:
    """The captions of a text file, one a line; empty lines are left out.

    Raises:
        InputError: it cannot be read, or has none.
    """
    file = Path(path).expanduser()
    try:
        check_plain(file, _LARGEST)
        texts = [caption for line in file.read_text(encoding="utf-8-sig").splitlines() if (caption := clean_caption(line))]
    except FileNotFoundError as error:
        raise InputError(
            f"there is no file of captions {path!r}", where="dataset.texts", hint="Name a text file with a caption a line, or `captions`."
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"these captions cannot be read: {error}", where=str(file), hint="Save them as UTF-8 text, a caption a line.") from error
    if not texts:
        raise InputError("there is no caption in this file", where=str(file), hint="Write a caption a line.")
    return texts
