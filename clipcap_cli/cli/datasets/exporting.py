"""`clipcap dataset export`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from clipcap_cli.cli.datasets.group import Reference, Split, app, open_reference
from clipcap_cli.cli.options import command, home
from clipcap_cli.cli.out import out, printable
from clipcap_cli.cli.progress import progress
from clipcap_cli.errors import InputError, PartialError
from clipcap_cli.words import count

if TYPE_CHECKING:
    from clipcap_cli.datasets.dataset import Dataset

Layout = Literal["sidecar", "table", "metadata", "metadata-jsonl", "metadata-parquet", "coco", "karpathy", "flickr8k", "webdataset", "parquet", "original"]
_ORIGINAL = "original"
_SHOWN = 10


@command(
    app,
    "export",
    examples=(
        "clipcap dataset export food --format coco --output food-coco",
        "clipcap dataset export food@2 --split train --encoder openai:RN50x4 --output food_train.pkl",
    ),
    json="{dataset, version, format, path, pictures, captions}; of original embeddings in the place of pictures.",
)
def export(
    name: Reference,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="PATH", help="The folder to write; with .zip, .tar or .tar.gz an archive of it.")],
    form: Annotated[
        Layout | None,
        typer.Option(
            "--format",
            metavar="LAYOUT",
            help="sidecar, table, metadata, metadata-jsonl, metadata-parquet, coco, karpathy, flickr8k, webdataset, parquet; original: the data pickle "
            "that the original train.py reads (so it is for FILE.pkl).",
        ),
    ] = None,
    split: Split = None,
    link: Annotated[bool, typer.Option("--link", help="Pictures become second names of the files that are there, where the file system has such.")] = False,
    encoder: Annotated[str, typer.Option("--encoder", metavar="SPEC", help="For original: whose embeddings go into it.")] = "openai:ViT-B/32",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier export.")] = False,
) -> None:
    """Write a dataset in a layout of others. Each can be added again, with the same pictures, captions and splits."""
    dataset = open_reference(name)
    layout = form or (_ORIGINAL if output.suffix == ".pkl" else None)
    if layout is None:
        raise typer.BadParameter("say which layout: --format sidecar, coco, webdataset, …", param_hint="--format")
    if layout == _ORIGINAL:
        _export_original(dataset, output, encoder, split, overwrite)
        return
    from clipcap_cli.datasets.exporting import export_dataset

    with progress() as events:
        exported = export_dataset(dataset, layout, output, split=split, link=link, overwrite=overwrite, events=events)
    out.result(_result(dataset, layout, output, pictures=exported.pictures, captions=exported.captions))
    out.text(f"{output}: {count(exported.pictures, 'picture')} and {count(exported.captions, 'caption')} as {layout}")
    if exported.without_file:
        listed = ", ".join(printable(it) for it in exported.without_file[:_SHOWN])
        raise PartialError(f"{count(len(exported.without_file), 'picture')} without a file could not be written: {listed}")


def _export_original(dataset: Dataset, output: Path, encoder: str, split: str | None, overwrite: bool) -> None:
    from clipcap_cli.encoders.registry import check_spec

    check_spec(encoder)
    if output.is_dir():
        raise InputError(f"{output} is a folder", hint=f"Name a file in it: --output {output / f'{dataset.name}.pkl'}")
    if output.exists() and not overwrite:
        raise InputError(f"{output} exists and was left as it is", hint="Add --overwrite, or choose another name with --output.")

    from clipcap_cli.embeddings.original import export_original
    from clipcap_cli.encoders.registry import load_encoder

    with progress() as events:
        embeddings, captions = export_original(dataset, load_encoder(encoder, home=home(), events=events), output, split=split)
    out.result(_result(dataset, _ORIGINAL, output, embeddings=embeddings, captions=captions))
    out.text(f"{output}: {count(embeddings, 'embedding')} and {count(captions, 'caption')}")


def _result(dataset: Dataset, layout: str, output: Path, **counts: int) -> dict[str, object]:
    return {"dataset": dataset.name, "version": dataset.version, "format": layout, "path": str(output), **counts}
