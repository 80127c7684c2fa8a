"""A dataset in a layout of others: a folder, or a zip or tar of it, written whole or not at all."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from clipcap_cli.datasets.dataset import Dataset
from clipcap_cli.datasets.places import Place, where_is
from clipcap_cli.datasets.versions import Picture
from clipcap_cli.datasets.writers.coco import write_coco
from clipcap_cli.datasets.writers.flickr8k import write_flickr8k
from clipcap_cli.datasets.writers.karpathy import write_karpathy
from clipcap_cli.datasets.writers.parquet import write_parquet
from clipcap_cli.datasets.writers.sidecar import write_sidecar
from clipcap_cli.datasets.writers.tables import write_captions_table, write_metadata_csv, write_metadata_jsonl, write_metadata_parquet
from clipcap_cli.datasets.writers.webdataset import write_webdataset
from clipcap_cli.datasets.writers.written import Writer, named, put_by
from clipcap_cli.errors import InputError
from clipcap_cli.events import Advanced, Finished, Listener, Started, silent
from clipcap_cli.storage.atomic import new_folder, replacing, write_json

_TASK = "export"
_STAMP = ".clipcap-export.json"  # hidden, so that no reader takes it for a table
_ARCHIVES = {".zip": "zip", ".tar": "tar", ".tar.gz": "gztar", ".tgz": "gztar"}

WRITERS: Mapping[str, Writer] = {
    "sidecar": write_sidecar,
    "table": write_captions_table,
    "metadata": write_metadata_csv,
    "metadata-jsonl": write_metadata_jsonl,
    "metadata-parquet": write_metadata_parquet,
    "coco": write_coco,
    "karpathy": write_karpathy,
    "flickr8k": write_flickr8k,
    "webdataset": write_webdataset,
    "parquet": write_parquet,
}


@dataclass(frozen=True)
class Exported:
    """What was written: the place, how many pictures and captions, and the names of pictures that have no file."""

    path: Path
    pictures: int
    captions: int
    without_file: tuple[str, ...]


def export_dataset(
    dataset: Dataset, layout: str, output: Path, *, split: str | None = None, link: bool = False, overwrite: bool = False, events: Listener = silent
) -> Exported:
    """Write a dataset in the layout of a reader.

    Args:
        layout: a key of `WRITERS`.
        output: a folder; or a file that ends with .zip, .tar or .tar.gz.
        split: only this one.
        link: pictures become second names of the files that are there, where the file system has such; no room is taken.
        overwrite: what is at `output` is replaced.

    Raises:
        InputError: there is something at `output`, there is no such split, or a picture cannot be read any more.
        StoreError: it cannot be written.
    """
    if split is not None and split not in dataset.split_counts:
        raise InputError(f"the dataset {dataset.name!r} has no split {split!r}", where="--split", hint=f"It has {', '.join(dataset.split_counts)}.")
    form = _archive_form(output)
    _check_place(dataset, output, form is not None, overwrite)
    pictures = [picture for picture in dataset.entries() if split is None or picture.split == split]
    missing = tuple(picture.name for picture in pictures if not picture.path)
    chosen = list(named([(picture, _file(dataset, picture)) for picture in pictures if picture.path]))
    if not chosen:
        raise InputError(f"no picture of {dataset.name!r} has a file", hint="Embeddings alone go out with --format original.")
    writer = WRITERS[layout]
    events(Started(_TASK, len(chosen), "pictures"))
    try:
        if form is None:
            with new_folder(output, replace=output.exists()) as folder:
                write_json(folder / _STAMP, {"dataset": dataset.name, "version": dataset.version, "layout": layout, **_provenance(dataset)})
                writer(dataset.name, chosen, folder, put_by(link), lambda: events(Advanced(_TASK, 1)))
        else:
            with replacing(output) as part, tempfile.TemporaryDirectory(dir=output.parent, prefix=".clipcap-") as scratch:
                folder = Path(scratch) / "folder"
                folder.mkdir()
                writer(dataset.name, chosen, folder, put_by(link=True), lambda: events(Advanced(_TASK, 1)))
                Path(shutil.make_archive(f"{scratch}/archive", form, folder)).rename(part)
    except FileNotFoundError as error:
        raise InputError("this picture is not there any more", where=str(error.filename), hint=f"clipcap dataset check {dataset.name}") from error
    finally:
        events(Finished(_TASK))
    return Exported(output, len(chosen), sum(len(it.picture.captions) for it in chosen), missing)


def _check_place(dataset: Dataset, output: Path, is_archive: bool, overwrite: bool) -> None:
    """Whether an export may be put at `output`; a folder is only replaced if it is an earlier export."""
    if dataset.home.root.resolve() in output.resolve().parents:
        raise InputError("this place is inside clipcap's own store", where=str(output), hint="Choose another with --output.")
    if not output.exists() or (output.is_dir() and not is_archive and not any(output.iterdir())):
        return
    if not overwrite:
        raise InputError("something is there already, and was left as it is", where=str(output), hint="Choose another place with --output, or add --overwrite.")
    if output.is_dir() == is_archive or (output.is_dir() and not (output / _STAMP).is_file()):
        raise InputError("what is there is no earlier export of a dataset, and is left as it is", where=str(output), hint="Choose another place with --output.")


def _provenance(dataset: Dataset) -> dict[str, str]:
    told = dataset.manifest.provenance
    return {key: value for key, value in (("licence", told.licence), ("source", told.source), ("citation", told.citation)) if value}


def _file(dataset: Dataset, picture: Picture) -> Path | Place:
    return where_is(dataset.home.root, picture.path)


def _archive_form(output: Path) -> str | None:
    return next((form for ending, form in _ARCHIVES.items() if output.name.lower().endswith(ending)), None)
