"""`clipcap dataset export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from clipcap_cli.cli.datasets.group import Name, app
from clipcap_cli.cli.options import command, home
from clipcap_cli.cli.out import out
from clipcap_cli.cli.progress import progress
from clipcap_cli.words import count

ExportFormat = Literal["original"]


@command(
    app,
    "export",
    examples=("clipcap dataset export food --output food.pkl", "clipcap dataset export food --split train --encoder openai:RN50x4 --output food_train.pkl"),
    json="{dataset, format, path, embeddings, captions}.",
)
def export(
    name: Name,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="The file to write.")],
    form: Annotated[
        ExportFormat, typer.Option("--format", metavar="original", help="original: the data pickle that the original train.py reads.")
    ] = "original",
    encoder: Annotated[str, typer.Option("--encoder", metavar="SPEC", help="Whose embeddings go into it.")] = "openai:ViT-B/32",
    split: Annotated[str | None, typer.Option("--split", metavar="NAME", help="Only this split.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the file if it is there.")] = False,
) -> None:
    """Write a dataset in a format of others. The embeddings must be there: `clipcap embed` makes them."""
    from clipcap_cli.datasets.dataset import open_dataset
    from clipcap_cli.encoders.registry import check_spec
    from clipcap_cli.errors import InputError

    dataset = open_dataset(name, home=home())
    check_spec(encoder)
    if output.is_dir():
        raise InputError(f"{output} is a folder", hint=f"Name a file in it: --output {output / f'{name}.pkl'}")
    if output.exists() and not overwrite:
        raise InputError(f"{output} exists and was left as it is", hint="Add --overwrite, or choose another name with --output.")

    from clipcap_cli.embeddings.original import export_original
    from clipcap_cli.encoders.registry import load_encoder

    with progress() as events:
        embeddings, captions = export_original(dataset, load_encoder(encoder, home=home(), events=events), output, split=split)
    out.result({"dataset": name, "format": form, "path": str(output), "embeddings": embeddings, "captions": captions})
    out.text(f"{output}: {count(embeddings, 'embedding')} and {count(captions, 'caption')}")
