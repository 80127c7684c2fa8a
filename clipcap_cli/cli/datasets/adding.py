"""`clipcap dataset add`, and `merge`."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Annotated

import typer

from clipcap_cli.cli import bulk, completion
from clipcap_cli.cli.datasets.group import SUMMARY, app, open_reference, show_counts, show_problem_table, show_problems, splits_told, summary
from clipcap_cli.cli.options import command, home
from clipcap_cli.cli.out import out, printable
from clipcap_cli.cli.progress import progress
from clipcap_cli.words import count

if TYPE_CHECKING:
    from clipcap_cli.datasets.adding import Preview
    from clipcap_cli.datasets.dataset import Dataset
    from clipcap_cli.datasets.manifest import Policy

_SHOWN = 200  # characters of a sample's caption
_POLICIES: dict[str, Policy] = {"--copy": "copy", "--link": "link", "--in-place": "in-place"}


@command(
    app,
    "add",
    examples=(
        "clipcap dataset add ./food",
        "clipcap dataset add captions.csv --images photos --image-column file --caption-column text --name birds --dry-run",
    ),
    json=f"{SUMMARY}; with --dry-run {{name, layout, reason, columns, pictures, captions, splits, samples: [{{image, split, captions}}], "
    "problem_list: [{kind, severity, where, message, remedy}]}.",
)
def add(
    source: Annotated[
        str,
        typer.Argument(
            metavar="PATH",
            help="A folder of pictures with captions, a captions file, an archive of them, tar shards, a data pickle of the original code, or hf:ORG/NAME; "
            "with --engine an address too.",
        ),
    ],
    name: Annotated[str | None, typer.Option("--name", metavar="NAME", help="Its name here; that of the folder if you say nothing.")] = None,
    image_column: Annotated[str | None, typer.Option("--image-column", metavar="COLUMN", help="Column of the captions table that names the picture.")] = None,
    caption_column: Annotated[str | None, typer.Option("--caption-column", metavar="COLUMN", help="Column of the captions table with the caption.")] = None,
    images: Annotated[str | None, typer.Option("--images", metavar="FOLDER", help="Folder of the pictures, if it is elsewhere.")] = None,
    keep_column: Annotated[
        list[str] | None, typer.Option("--keep-column", metavar="COLUMN", help="Keep this column with the pictures, to split by. May be repeated.")
    ] = None,
    caption_from_folder: Annotated[
        str | None,
        typer.Option(
            "--caption-from-folder", metavar="SENTENCE", help="Pictures sorted into folders by what they show: 'a photo of a {}', with the folder's name."
        ),
    ] = None,
    copy: Annotated[bool, typer.Option("--copy", help="Copy the pictures into the store.")] = False,
    link: Annotated[bool, typer.Option("--link", help="Link the pictures into the store (a second name of the same file).")] = False,
    in_place: Annotated[bool, typer.Option("--in-place", help="Leave the pictures where they are; so it is for a new dataset.")] = False,
    licence: Annotated[str | None, typer.Option("--licence", metavar="TEXT", help="Of the data, as its owner states it; goes into model cards.")] = None,
    origin: Annotated[str | None, typer.Option("--source", metavar="TEXT", help="Where the data comes from: a title, an address.")] = None,
    citation: Annotated[str | None, typer.Option("--citation", metavar="TEXT", help="How the data is to be cited.")] = None,
    replace: Annotated[bool, typer.Option("--replace", help="Give up what the dataset was: other source, splits made anew, changes not kept.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be added, and add nothing.")] = False,
    engine: bulk.EngineOption = None,
    address: bulk.Address = None,
    nodes: bulk.Nodes = None,
    staging: bulk.Staging = None,
    shard_size: bulk.ShardSize = None,
) -> None:
    """Add pictures with captions, or what is new in a source that was added before. The layout is found out by itself; nothing of yours is changed."""
    from pathlib import Path

    from clipcap_cli.datasets.adding import add_dataset, preview_source
    from clipcap_cli.datasets.manifest import Provenance
    from clipcap_cli.datasets.records import ReaderOptions

    options = ReaderOptions(image_column, caption_column, Path(images) if images is not None else None, tuple(keep_column or ()), caption_from_folder)
    chosen = [flag for flag, is_chosen in zip(_POLICIES, (copy, link, in_place), strict=True) if is_chosen]
    if len(chosen) > 1:
        raise typer.BadParameter(f"take one of {', '.join(chosen)}")
    work = bulk.engine_of(engine, address, nodes, staging, shard_size, copy=copy, link=link, dry_run=dry_run)
    if work is not None:
        added = bulk.add_with(work, source, name=name, options=options, provenance=Provenance(licence, origin, citation), replace_all=replace)
        _show_added(added, source)
        return
    if dry_run:
        with progress() as events:
            preview = preview_source(source, name=name, home=home(), options=options, events=events)
        _show_preview(preview)
        return
    with progress() as events:
        added = add_dataset(
            source,
            name=name,
            home=home(),
            options=options,
            policy=_POLICIES[chosen[0]] if chosen else None,
            provenance=Provenance(licence, origin, citation),
            replace_all=replace,
            events=events,
        )
    _show_added(added, source)


def _show_added(added: Dataset, source: str) -> None:
    out.result(summary(added))
    show_counts(added)
    show_problems(added)
    if added.layout == "original pickle":
        out.hint(f"clipcap embed {added.name} --import {source} --encoder SPEC")
    else:
        out.hint(f"clipcap train quickstart --dataset {added.name}")


@command(
    app, "merge", examples=("clipcap dataset merge food drinks --name menu", "clipcap dataset merge food@3 drinks --name menu --replace"), json=f"{SUMMARY}."
)
def merge(
    datasets: Annotated[list[str], typer.Argument(metavar="DATASET[@VERSION]...", help="Two datasets or more.", autocompletion=completion.datasets)],
    name: Annotated[str, typer.Option("--name", metavar="NAME", help="Of the new dataset.")],
    replace: Annotated[bool, typer.Option("--replace", help="Make a new version of a dataset that has this name.")] = False,
) -> None:
    """Make one dataset of several. A picture that is in more than one is there once, with all its captions."""
    from clipcap_cli.datasets.changes.merging import merge_datasets

    merged: Dataset = merge_datasets([open_reference(it) for it in datasets], name, home(), replace_it=replace)
    out.result(summary(merged))
    show_counts(merged)
    show_problems(merged)
    out.hint(f"clipcap dataset check {name}")


def _show_preview(preview: Preview) -> None:
    from dataclasses import asdict

    evidence = preview.evidence
    out.result(
        {
            "name": preview.name,
            "layout": evidence.layout,
            "reason": evidence.reason,
            "columns": dict(evidence.columns),
            "pictures": preview.pictures,
            "captions": preview.captions,
            "splits": dict(preview.splits),
            "samples": [{"image": sample.image.as_posix(), "split": sample.split, "captions": list(sample.captions)} for sample in preview.samples],
            "problem_list": [asdict(problem) for problem in preview.problems],
        }
    )
    out.text(f"{preview.name}, not added: {count(preview.pictures, 'picture')}, {count(preview.captions, 'caption')}; the pictures were not opened")
    out.text(f"  layout   {evidence.layout}: {evidence.reason}")
    if evidence.columns:
        out.text(f"  columns  {', '.join(f'{what} = {column}' for what, column in evidence.columns.items())}")
    out.text(f"  splits   {splits_told(dict(preview.splits)) if preview.splits else 'none given; 80 % train, 10 % val, 10 % test by hash'}")
    for sample in preview.samples:
        out.text(f"\n  {printable(sample.image.as_posix())}" + (f" ({sample.split})" if sample.split else ""))
        for caption in sample.captions:
            out.text(f"    {caption[:_SHOWN]}")
    if preview.problems:
        show_problem_table(list(preview.problems), dict(Counter(problem.kind for problem in preview.problems).most_common()))
