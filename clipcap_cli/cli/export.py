"""`clipcap export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from clipcap_cli.cli import completion
from clipcap_cli.cli.options import command, home
from clipcap_cli.cli.out import out
from clipcap_cli.cli.progress import progress
from clipcap_cli.words import count, size

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@command(
    app,
    "export",
    examples=("clipcap export food --self-contained --tar", "clipcap export food --format hub --repo me/food-captioner --private"),
    json="{format, output, files, size_bytes}; for the hub {format, repo, address}.",
)
def export(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A model, a run or a bundle's folder.", autocompletion=completion.captioners)],
    format: Annotated[
        str, typer.Option("--format", metavar="NAME", help="bundle, for clipcap elsewhere; original, for the original code; onnx, without torch; or hub.")
    ] = "bundle",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="PATH", help="Where it goes; else the captioner's name in this folder: food, food.tar, food.pt.")
    ] = None,
    self_contained: Annotated[
        bool, typer.Option("--self-contained", help="For bundle and hub: put language model, tokenizer and encoder inside, so that nothing is downloaded.")
    ] = False,
    tar: Annotated[bool, typer.Option("--tar", help="For bundle and onnx: one file in the place of a folder.")] = False,
    licence: Annotated[str | None, typer.Option("--license", metavar="NAME", help="For bundle and hub: what the model card states, as mit.")] = None,
    old_buffers: Annotated[
        bool | None,
        typer.Option(
            "--old-buffers/--no-old-buffers",
            help="For original: with the buffers of transformers up to 4.29 (as if nothing is said), or without, for later ones.",
        ),
    ] = None,
    int8: Annotated[bool, typer.Option("--int8", help="For onnx: weights in eight bits.")] = False,
    repo: Annotated[str | None, typer.Option("--repo", metavar="ORG/NAME", help="For hub: where it goes.")] = None,
    private: Annotated[bool, typer.Option("--private", help="For hub: a repository that is made now is private.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier export; anything else is left alone.")] = False,
) -> None:
    """Write a captioner in a form that others can use. What the store has is not changed."""
    from clipcap_cli.exports.exporting import export as exported

    with progress() as events:
        made = exported(
            model,
            format,
            output,
            self_contained=self_contained,
            tar=tar,
            licence=licence,
            old_buffers=old_buffers,
            int8=int8,
            repo=repo,
            private=private,
            overwrite=overwrite,
            home=home(),
            events=events,
        )
    if isinstance(made, str):
        out.result({"format": format, "repo": repo, "address": made})
        out.text(f"{repo} is on the hub: {made}")
        out.hint(f"clipcap model pull {repo}")
        return
    files = sorted(path for path in made.rglob("*") if path.is_file()) if made.is_dir() else [made]
    amount = sum(path.stat().st_size for path in files)
    out.result({"format": format, "output": str(made), "files": [_within(path, made) for path in files], "size_bytes": amount})
    out.text(f"{made}: {format}, {count(len(files), 'file')}, {size(amount)}")
    if format == "bundle":
        folder = made if len(made.parts) > 1 else f"./{made}"  # a bare name means what is in the store
        out.hint(f"clipcap model import {made}" if tar else f"clipcap caption PICTURE --model {folder}")


def _within(path: Path, made: Path) -> str:
    return path.relative_to(made).as_posix() if path != made else path.name
