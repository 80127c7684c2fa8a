"""The data pickles of the original ClipCap code, with the pictures if they are at hand, and without them if not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from clipcap_cli.datasets.files.folders import Folder, pictures_of
from clipcap_cli.datasets.matching import match_rows
from clipcap_cli.datasets.original_pickles import OriginalData, picture_names, read_original
from clipcap_cli.datasets.records import Evidence, Problem, ReaderOptions, Record, Report, clean_caption
from clipcap_cli.datasets.tables.delimited import Row
from clipcap_cli.errors import InputError
from clipcap_cli.words import count

_SUFFIX = ".pkl"
_SPLITS = ("train", "val", "test")  # the parse scripts end a file's name with one of them


class OriginalPickle:
    """One file that parse_coco, parse_conceptual or parse_food wrote."""

    layout = "original pickle"

    def detect(self, source: Path, options: ReaderOptions) -> Evidence | None:
        if source.suffix.lower() != _SUFFIX or not source.is_file():
            return None
        data = read_original(source)
        folder = _pictures(source, options, data)
        size = f"{count(len(data.captions), 'caption')} and {count(len(data.vectors), 'embedding')} of {data.vectors.shape[1]} numbers"
        where = f"with the pictures in {folder.root}" if folder else "no pictures beside it: they are known by their embeddings alone"
        split = _split_of(source)
        whole = f"; all of it is the split {split}, as its name says" if split else ""
        return Evidence(self.layout, f"{source.name} is what parse_{data.kind}.py wrote, {size}; {where}{whole}", source.stem)

    def read(self, source: Path, options: ReaderOptions, report: Report) -> Iterator[Record]:
        data = read_original(source)
        if data.misaligned:
            message = "the numbers of its embeddings begin again at 0, as parse_conceptual.py writes them; each caption is given the embedding at its place"
            report(Problem("misaligned", "info", source.name, message))
        folder = _pictures(source, options, data)
        if folder is None:
            yield from _by_vector(data, source, report)
        else:
            rows = (
                Row(_name_in(folder, caption.image, data), caption.text, _split_of(source), f"{source.name}, caption {number}")
                for number, caption in enumerate(data.captions)
            )
            yield from match_rows(rows, folder, report)


def _pictures(source: Path, options: ReaderOptions, data: OriginalData) -> Folder | None:
    """The folder of the pictures: the one that was named, or the one beside the file if any picture of the file is in it."""
    if options.images is not None:
        return pictures_of(source, options.images)
    try:
        folder = pictures_of(source, None)
    except InputError:
        return None
    names = (name for caption in data.captions if caption.image for name in picture_names(caption.image, data.kind))
    return folder if any(folder.find(name) for name in names) else None


def _split_of(source: Path) -> str | None:
    """`train` of oscar_split_ViT-B_32_train.pkl."""
    end = source.stem.lower().rpartition("_")[2]
    return end if end in _SPLITS else None


def _name_in(folder: Folder, image: str, data: OriginalData) -> str:
    """The name that the picture has in the folder; the file's own where it has none."""
    return next((name for name in (image, *picture_names(image, data.kind)) if image and folder.find(name)), image)


def _by_vector(data: OriginalData, source: Path, report: Report) -> Iterator[Record]:
    for number, caption in enumerate(data.captions):
        where = f"{source.name}, caption {number}"
        if caption.row >= len(data.vectors):
            report(
                Problem(
                    "no-embedding", "error", where, f"it names embedding {caption.row}, and there are {len(data.vectors):,}", "Leave it out, or mend the file."
                )
            )
        elif not clean_caption(caption.text):
            report(Problem("empty-caption", "warning", where, f"the caption of {caption.image!r} is empty", "Write one, or take the row out."))
        else:
            yield Record(Path(caption.image or str(caption.row)), (caption.text,), _split_of(source), where, image_id=data.vector_id(caption.row))
