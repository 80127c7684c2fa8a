"""`clipcap dataset …`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from clipcap_cli.cli import completion
from clipcap_cli.cli.options import Yes, command, home
from clipcap_cli.cli.out import out, printable
from clipcap_cli.cli.progress import progress
from clipcap_cli.words import count, moment, sentences

if TYPE_CHECKING:
    from clipcap_cli.datasets.dataset import Dataset
    from clipcap_cli.datasets.records import Problem

app = typer.Typer(help="Add pictures with captions, and look at what is there.", no_args_is_help=True, add_completion=False, rich_markup_mode=None)

Name = Annotated[str, typer.Argument(metavar="DATASET", help="Name of a dataset.", autocompletion=completion.datasets)]
ExportFormat = Literal["original"]
_SUMMARY = "{name, version, layout, reason, source, created, pictures, captions, splits: {name: pictures}, problems: {kind: count}}"


@command(
    app,
    "add",
    examples=("clipcap dataset add ./food", "clipcap dataset add captions.csv --images photos --image-column file --caption-column text --name birds"),
    json=f"{_SUMMARY}.",
)
def add(
    source: Annotated[
        Path, typer.Argument(metavar="PATH", help="A folder of pictures with their captions, a captions file, or a data pickle of the original code.")
    ],
    name: Annotated[str | None, typer.Option("--name", metavar="NAME", help="Its name here; that of the folder if you say nothing.")] = None,
    image_column: Annotated[str | None, typer.Option("--image-column", metavar="COLUMN", help="Column of the captions table that names the picture.")] = None,
    caption_column: Annotated[str | None, typer.Option("--caption-column", metavar="COLUMN", help="Column of the captions table with the caption.")] = None,
    images: Annotated[Path | None, typer.Option("--images", metavar="FOLDER", help="Folder of the pictures, if it is elsewhere.")] = None,
) -> None:
    """Add pictures with captions. The layout is found out by itself; nothing of yours is changed."""
    from clipcap_cli.datasets.adding import add_dataset
    from clipcap_cli.datasets.records import ReaderOptions

    with progress() as events:
        added = add_dataset(source, name=name, home=home(), options=ReaderOptions(image_column, caption_column, images), events=events)
    out.result(_summary(added))
    _show_counts(added)
    _show_problems(added)
    if added.layout == "original pickle":
        out.hint(f"clipcap embed {added.name} --import {source} --encoder SPEC")
    else:
        out.hint(f"clipcap train quickstart --dataset {added.name}")


@command(app, "list", examples=("clipcap dataset list", "clipcap dataset list --json"), json=f"a list of {_SUMMARY}.")
def list_datasets() -> None:
    """List all datasets."""
    from clipcap_cli.datasets.dataset import list_datasets as stored

    datasets = stored(home())
    out.result([_summary(dataset) for dataset in datasets])
    out.table(
        ("dataset", "version", "pictures", "captions", "splits", "layout", "added"),
        [
            (
                dataset.name,
                f"v{dataset.version}",
                f"{dataset.pictures:,}",
                f"{dataset.captions:,}",
                _splits(dataset),
                dataset.layout,
                moment(dataset.created),
            )
            for dataset in datasets
        ],
        right=("pictures", "captions"),
    )
    if not datasets:
        out.note("There are no datasets yet.")
        out.hint("clipcap dataset add FOLDER")


@command(
    app,
    "show",
    examples=("clipcap dataset show food", "clipcap dataset show food --problems"),
    json="what `dataset add` prints, and samples: [{image, split, captions}], problem_list: [{kind, severity, where, message, remedy}].",
)
def show(
    name: Name,
    samples: Annotated[int, typer.Option("--samples", metavar="N", min=0, help="Pictures whose captions are shown.")] = 5,
    problems: Annotated[bool, typer.Option("--problems", help="Show every problem, not the first of each kind.")] = False,
) -> None:
    """Show a dataset: where it came from, its splits, some captions, and what was left out."""
    from dataclasses import asdict

    from clipcap_cli.datasets.dataset import open_dataset

    dataset = open_dataset(name, home=home())
    images = dataset.images()
    shown = images[:: max(1, len(images) // samples)][:samples] if samples else []
    out.result(
        {
            **_summary(dataset),
            "samples": [{"image": image.name, "split": image.split, "captions": list(image.captions)} for image in shown],
            "problem_list": [asdict(problem) for problem in dataset.problems()],
        }
    )
    _show_counts(dataset)
    out.text(f"  layout  {dataset.layout}: {dataset.reason}")
    out.text(f"  added   {moment(dataset.created)}")
    _show_problems(dataset, every=problems)
    for image in shown:
        out.text(f"\n  {printable(image.name)}" + (f" ({image.split})" if image.split else ""))
        for caption in image.captions:
            out.text(f"    {caption}")
    if 0 < len(shown) < len(images):
        out.note(f"These are {len(shown)} of {count(len(images), 'picture')}; --samples N shows more.")


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


@command(app, "remove", examples=("clipcap dataset remove food", "clipcap dataset remove food --yes"), json="{removed}.")
def remove(name: Name, yes: Yes = False) -> None:
    """Remove a dataset from the store. The pictures themselves are not touched, nor what was learned from them."""
    from clipcap_cli.datasets.dataset import open_dataset, remove_dataset
    from clipcap_cli.errors import StoreError

    try:
        dataset = open_dataset(name, home=home())
        what = f"{count(dataset.pictures, 'picture')}; those in {dataset.source} are not touched"
    except StoreError as error:
        what = f"it is damaged: {error.message}"
    question = f"Remove the dataset {name!r} ({what})?"
    if out.confirm(question, yes=yes, otherwise="nothing was removed"):
        remove_dataset(home(), name)
        out.result({"removed": name})
        out.text(f"The dataset {name} is removed; its pictures are where they were.")


def _summary(dataset: Dataset) -> dict[str, Any]:
    return {
        "name": dataset.name,
        "version": dataset.version,
        "layout": dataset.layout,
        "reason": dataset.reason,
        "source": str(dataset.source),
        "created": dataset.created,
        "pictures": dataset.pictures,
        "captions": dataset.captions,
        "splits": dataset.splits(),
        "problems": dict(dataset.problem_counts),
    }


def _show_counts(dataset: Dataset) -> None:
    out.text(f"{dataset.name} v{dataset.version}: {count(dataset.pictures, 'picture')}, {count(dataset.captions, 'caption')}")
    out.text(f"  from    {dataset.source}")
    out.text(f"  splits  {_splits(dataset)}")


def _show_problems(dataset: Dataset, *, every: bool = False) -> None:
    problems = dataset.problems()
    if not problems:
        return
    first = {problem.kind: problem for problem in reversed(problems)}
    shown = problems if every else [first[kind] for kind in dataset.problem_counts]
    out.text()
    out.table(
        ("problem", "count", "where", "what"),
        [(problem.kind, "" if every else f"{dataset.problem_counts[problem.kind]:,}", problem.where, _what(problem)) for problem in shown],
        right=("count",),
    )
    if len(shown) < len(problems):
        out.note(f"These are the first of their kinds; all {len(problems):,}: `clipcap dataset show {dataset.name} --problems`.")


def _what(problem: Problem) -> str:
    return sentences(problem.message, problem.remedy)


def _splits(dataset: Dataset) -> str:
    return ", ".join(f"{name} {pictures:,}" for name, pictures in dataset.splits().items()) or "none"
